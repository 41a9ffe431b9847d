// What several modules need: encodings, errors and events, channels and ids.

export const encoder = new TextEncoder();
// A byte order mark is part of a payload.
export const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What publish rejects with. */
export class C10mError extends Error {
  constructor(code, message, fields) {
    super(message);
    this.name = "C10mError";
    this.code = code;
    Object.assign(this, fields);
  }
}

export class C10mEvent extends Event {
  constructor(type, fields) {
    super(type);
    Object.assign(this, fields);
  }
}

export function deferred() {
  let resolve, reject;
  const promise = new Promise((a, b) => { resolve = a; reject = b; });
  return { promise, resolve, reject };
}

// failure says what a request's failure is to people: browsers have words of their own
// for it, and say no more.
export function failure(error) { return error instanceof C10mError ? error.message : "nobody answers, or the connection broke"; }

// checkChannel refuses what no URL or server takes: . and .. have no URL of their own.
export function checkChannel(channel) {
  let bytes = 0;
  try {
    encodeURIComponent(channel);
    bytes = encoder.encode(channel).length;
  } catch { /* half of a surrogate pair is no UTF-8 */ }
  if (typeof channel !== "string" || bytes < 1 || bytes > 255) throw new TypeError("a channel is a string of 1 to 255 bytes of UTF-8");
  if (channel === "." || channel === ".." || channel.startsWith("-/")) throw new TypeError(`${channel} is not a channel`);
}

// placeOf reads an id: the life of the server's process, and a number that grows.
export function placeOf(id) {
  const [, life, number] = /^(.+)-(\d+)$/.exec(id ?? "") ?? [];
  return { life, number: Number(number) };
}

// isBehind reports whether one id is known to be at or after another.
export function isBehind(id, other) {
  const [a, b] = [placeOf(id), placeOf(other)];
  return a.life !== undefined && a.life === b.life && a.number >= b.number;
}
