// c10m.js: the browser's side of c10m, without dependencies; it runs in Node, too.
// Types and the meaning of each option are in c10m.d.ts.
//
// Core holds the subscriptions (Feeds) and what waits to be published (the Outbox).
// Its run is one loop: a round tries the transports in order until one has had a first
// answer, and lasts as long as that session; then comes a pause. A session is a
// SocketSession (one WebSocket that speaks c10m.v1) or a RequestSession (a stream or a
// row of polls for each channel), and neither knows of pauses between sessions. How
// something ended is an object with an outcome, a row of the table below, and a reason.
// While a session is not of the best transport, a WayBack tries a better one beside it.
//
// A feed's position is the id of the last message that was handed over, so that
// whatever breaks in between, the next subscription continues there or is told
// that it cannot.

const transports = ["websocket", "sse", "poll"];

/**
 * What an attempt or a session comes to, what that says, and what is done next:
 *
 *   another  the next transport is tried at once, but a transport that has worked is tried alone in two rounds first
 *   wait     the same again, after backoff, or after Retry-After
 *   soon     the same again within 2 seconds
 *   token    a new token; a fixed one that is answered with 401 ends the client
 *   refuse   the channel is over, the client goes on
 *   gap      the subscription is told, and goes on
 *   end      the client is over
 *   move     the subscriptions move to the better transport
 */
export const outcomes = {
  refused: { when: "a WebSocket is refused, or nobody is there: browsers do not say which", server: "?", network: "?", transport: "suspect", next: "another" },
  silent: { when: "nothing comes in time: no 101, no byte of a stream, no answer", server: "?", network: "?", transport: "suspect", next: "another" },
  mute: { when: "101, and then no first answer in time", server: "?", network: "?", transport: "suspect", next: "another" },
  cut: { when: "101 or 200, and closed before the first answer without the server's word", server: "?", network: "?", transport: "suspect", next: "another" },
  unfit: { when: "an answer that no c10m server gives this transport: 404, 410 to a stream, 426, another protocol or content type, a body unlike its header", server: "up", network: "up", transport: "unfit", next: "another" },
  brief: { when: "three sessions in a row that end within 10 s without the server's word", server: "?", network: "?", transport: "suspect", next: "another" },
  unreachable: { when: "a request fails before it is answered: no transport would find anybody", server: "?", network: "?", transport: "?", next: "wait" },
  offline: { when: "the browser says that it is offline, whatever else was seen", server: "?", network: "down", transport: "?", next: "wait" },
  lost: { when: "a session ends after its first answer without the server's word", server: "?", network: "?", transport: "good", next: "wait" },
  dead: { when: "a session is silent after its first answer: no PONG, heartbeat or answer to a poll", server: "?", network: "?", transport: "good", next: "wait" },
  busy: { when: "408, 429, 5xx, or close 1013", server: "busy", network: "up", transport: "good", next: "wait" },
  closed: { when: "another close code of the server", server: "up", network: "up", transport: "good", next: "wait" },
  drain: { when: "close 1012, or the event drain", server: "restarts", network: "up", transport: "good", next: "soon" },
  missed: { when: "close 4001: messages may be missing, which is told", server: "up", network: "up", transport: "good", next: "soon" },
  token: { when: "401, or close 1008", server: "up", network: "up", transport: "good", next: "token" },
  tokenless: { when: "the function for the token fails, or does not answer in time", server: "?", network: "?", transport: "?", next: "wait" },
  forbidden: { when: "400 or 403", server: "up", network: "up", transport: "good", next: "refuse" },
  disconnected: { when: "close 4002, or 403 with C10m-Close: 4002: the operator wants us gone", server: "up", network: "up", transport: "good", next: "end" },
  gone: { when: "410 to a poll, GAP, or the event gap: the position cannot be continued", server: "up", network: "up", transport: "good", next: "gap" },
  better: { when: "a better transport has its first answer beside a worse one's session", server: "up", network: "up", transport: "good", next: "move" },
};

const defaults = {
  transports,
  token: undefined,
  bytes: false,
  queue: undefined,
  afterGap: "new",
  remember: true,
  connectSeconds: 10,
  publishSeconds: 15,
  betterFirstSeconds: 2,
  betterCapSeconds: 600,
  backoffFirstSeconds: 1,
  backoffCapSeconds: 30,
  heartbeatSeconds: 300,
  pongSeconds: 10,
  streamSilenceSeconds: 330, // the server's default heartbeat is 300
  pollSeconds: 30,
  rememberSeconds: 600,
};

// A session that lasted so long was a success, and backoff begins anew; one that
// opens and closes at once is a failure like another.
const stableSeconds = 10;
// So many sessions in a row that were none make their transport suspect.
const briefSessions = 3;
// A stream that was heard of within this time is believed when the network changes, and
// a WebSocket within awakeSeconds when a page is shown.
const freshSeconds = 50;
const awakeSeconds = 10;
// A timer that is so late belongs to a page that was frozen: what came meanwhile is not
// read yet.
const frozenSeconds = 5;
// After a calm ending clients come back within this time.
const drainSeconds = 2;
// Rounds in which a transport that has worked is tried alone: a server that is down
// must not make its clients prefer a worse transport.
const loyalRounds = 2;
// The function for the token may take so long.
const tokenSeconds = 30;
// A poll's answer may take so much longer than its wait.
const pollGraceSeconds = 10;
// An answer of 204 that comes sooner than a poll's wait is followed by a pause, so
// that a proxy that answers by itself makes no loop without end.
const pollPauseSeconds = 1;
// How often a move to a better transport looks whether it can be made. A message that
// was on its way when the better one was subscribed has come after orderSeconds, if the
// worse one is heard then.
const moveLookSeconds = 0.1;
const orderSeconds = 1;
// How long a move waits for that, where a stream's silence has no limit.
const moveSeconds = 330;
// How long a WebSocket that is tried beside another session may take to open: Firefox
// delays a WebSocket by up to 60 s if some to the same server have failed, and begins that
// anew for each that is given up.
const besideSeconds = 75;
// Streams are tried beside polls for so many channels: a browser has six connections to a
// host over HTTP/1.1, and publishing needs one.
const streamsBesideMax = 2;
// What comes by the better transport while it is not moved to.
const shadowMessagesMax = 1000;
// What an iterator keeps for a loop that is behind; beyond it the loop gets an error.
const iteratorMessagesMax = 1000;
// What a socket may hold unsent before messages wait in the outbox instead.
const socketBytesMax = 1 << 20;
// How soon it is looked at again.
const roomSeconds = 0.05;
// What may wait for its turn to be sent while there is a way, if there is no queue.
const outboxLimits = { messages: 1000, bytes: 4 << 20, ageSeconds: 30, repeat: false };

const encoder = new TextEncoder();
// A byte order mark is part of a payload.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What publish rejects with. */
export class C10mError extends Error {
  constructor(code, message, fields) {
    super(message);
    this.name = "C10mError";
    this.code = code;
    Object.assign(this, fields);
  }
}

class C10mEvent extends Event {
  constructor(type, fields) {
    super(type);
    Object.assign(this, fields);
  }
}

function deferred() {
  let resolve, reject;
  const promise = new Promise((a, b) => { resolve = a; reject = b; });
  return { promise, resolve, reject };
}

// closing is what a close code says. Before the first answer, a code that this server
// does not use then is that of something in between.
const codes = { 1008: "token", 1012: "drain", 1013: "busy", 4001: "missed", 4002: "disconnected" };
function closing(code, text) { return { outcome: codes[code] ?? "closed", code, reason: text || `closed with ${code}` }; }

// retryAfter reads seconds or a date (RFC 9110, 10.2.3).
function retryAfter(response, wallClock) {
  const value = response.headers.get("Retry-After");
  if (value === null) return 0;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - wallClock) / 1000;
  return seconds > 0 ? seconds : 0; // a date that is none is NaN
}

// One wording for each kind of gap, whichever transport tells of it.
const gaps = {
  gone: "messages may be missing: the position cannot be continued",
  unknown: "messages may be missing: there was no position to continue from",
  bus: "messages may be missing: the server has missed some",
  polls: "messages may be missing from now on: the server keeps no history, and polls miss what comes between them",
};

// failure says what a request's failure is to people: browsers have words of their own
// for it, and say no more.
function failure(error) { return error instanceof C10mError ? error.message : "nobody answers, or the connection broke"; }

// checkChannel refuses what no URL or server takes: . and .. have no URL of their own.
function checkChannel(channel) {
  let bytes = 0;
  try {
    encodeURIComponent(channel);
    bytes = encoder.encode(channel).length;
  } catch { /* half of a surrogate pair is no UTF-8 */ }
  if (typeof channel !== "string" || bytes < 1 || bytes > 255) throw new TypeError("a channel is a string of 1 to 255 bytes of UTF-8");
  if (channel === "." || channel === ".." || channel.startsWith("-/")) throw new TypeError(`${channel} is not a channel`);
}

// placeOf reads an id: the life of the server's process, and a number that grows.
function placeOf(id) {
  const [, life, number] = /^(.+)-(\d+)$/.exec(id ?? "") ?? [];
  return { life, number: Number(number) };
}

// isBehind reports whether one id is known to be at or after another.
function isBehind(id, other) {
  const [a, b] = [placeOf(id), placeOf(other)];
  return a.life !== undefined && a.life === b.life && a.number >= b.number;
}

/** What C10m.subscribe returns. */
export class Subscription extends EventTarget {
  #feed;
  constructor(feed) {
    super();
    this.#feed = feed;
  }
  get channel() { return this.#feed.channel; }
  get position() { return this.#feed.position; }
  get state() { return this.#feed.state; }
  close() { this.#feed.core.unsubscribe(this.#feed); }

  [Symbol.asyncIterator]() {
    const feed = this.#feed;
    const messages = [];
    let taker, overrun = false, isOver = false;
    const wake = () => { taker?.resolve(); taker = undefined; };
    const take = (event) => {
      if (messages.length < iteratorMessagesMax) messages.push(event);
      else overrun = true;
      wake();
    };
    const leave = () => {
      isOver = true;
      this.removeEventListener("message", take);
      this.removeEventListener("close", leave);
      wake();
    };
    this.addEventListener("message", take);
    this.addEventListener("close", leave);
    if (feed.isOver) leave();
    return {
      async next() {
        for (;;) {
          if (messages.length > 0) return { done: false, value: messages.shift() };
          if (overrun) {
            leave();
            throw new C10mError("overrun", `more than ${iteratorMessagesMax} messages came while the loop was busy`);
          }
          if (isOver) return { done: true, value: undefined };
          taker ??= deferred();
          await taker.promise;
        }
      },
      async return() {
        leave();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() { return this; },
    };
  }
}

// A Feed is what the client knows of a subscription.
class Feed {
  constructor(core, channel, since) {
    this.core = core;
    this.channel = channel;
    this.name = encodeURIComponent(channel);
    this.position = since;
    this.last = since; // what was handed over, or asked to be left out
    this.state = "connecting";
    this.wasOpen = false; // the server has confirmed it once
    this.isLossy = false; // polls miss what comes between them
    this.asksKept = false; // after a gap
    this.failures = 0; // in a row
    this.public = new Subscription(this);
  }

  get isOver() { return this.state === "refused" || this.state === "closed"; }

  dispatch(type, fields) { this.public.dispatchEvent(new C10mEvent(type, { channel: this.channel, ...fields })); }

  // confirm: the server has subscribed us, asked to continue after asked. Its own
  // position is the one behind which messages follow: new to who had none.
  confirm(position, asked) {
    if (this.isOver) return;
    if (asked === undefined) {
      if (this.wasOpen) this.gap(position, gaps.unknown);
      else this.position = position;
    } else if (asked === "first" && this.position === "first" && position !== undefined) this.position = position;
    this.state = "open";
    this.wasOpen = true;
    this.openedAt = this.core.now();
    this.dispatch("open", { position: this.position });
  }

  gap(position, reason, isLasting = false) {
    if (this.isOver) return;
    this.position = position;
    this.dispatch("gap", { position, reason, isLasting });
  }

  // gone is a gap because the position that was asked for is. It returns true if what is
  // kept is to be asked for, once: a server that keeps nothing may say gone to that, too.
  gone(position, asked, keepsNothing) {
    if (this.isOver) return false;
    if (asked === "first" && this.asksKept) {
      this.position = position;
      return this.asksKept = false;
    }
    this.gap(position, gaps.gone);
    if (this.isOver || keepsNothing || this.core.options.afterGap !== "kept") return false;
    this.position = "first";
    return this.asksKept = true;
  }

  // message takes a string, or bytes that may be UTF-8 all the same. Two transports, or
  // what is kept after a gap, bring some twice.
  message(id, payload) {
    if (this.isOver || isBehind(this.last, id)) return;
    this.position = this.last = id;
    this.asksKept = false;
    let data = payload;
    if (typeof payload === "string") {
      if (this.core.options.bytes) data = encoder.encode(payload);
    } else if (!this.core.options.bytes) {
      try { data = decoder.decode(payload); } catch { /* not UTF-8: bytes */ }
    }
    this.dispatch("message", { id, data });
  }

  refuse(fields) { this.core.refuse(this, fields); }

  // interrupted: it will be asked for again.
  interrupted() {
    if (!this.isOver) this.state = "connecting";
  }

  end(state, fields) {
    this.state = state;
    if (state === "refused") this.dispatch("error", fields);
    this.dispatch("close", fields);
  }
}

// A Shadow stands for a Feed in a session that is tried beside another one: it keeps
// what comes until it is known that the feed loses nothing by moving there.
class Shadow {
  messages = [];
  confirmedAt = undefined;
  isGone = false;
  isWrong = false; // refused, or too much of it

  constructor(feed) {
    this.feed = feed;
    this.core = feed.core;
    this.channel = feed.channel;
    this.name = feed.name;
    this.position = this.asked = feed.position;
    this.isWhole = feed.position !== undefined;
    this.failures = 0;
  }

  get isOver() { return this.feed.isOver; }
  confirm(position) {
    this.confirmedAt ??= this.core.now();
    this.place ??= position;
  }
  gap(position) {
    this.isWhole = false;
    this.position = this.place = position;
  }
  gone(position) {
    this.gap(position);
    return false;
  }
  message(id, payload) {
    this.position = id;
    if (this.messages.push([id, payload]) > shadowMessagesMax) this.isWrong = true;
  }
  refuse() { this.isWrong = true; }
  interrupted() {}

  // standing is "ready" if the feed may move, "wrong" if it may not, else "wait". session
  // is the one that it has.
  standing(session) {
    const { feed, messages, place } = this;
    if (feed.isOver) return "ready";
    if (this.isWrong) return "wrong";
    if (this.confirmedAt === undefined) return "wait";
    if (this.isWhole || feed.isLossy) return "ready";
    const [ours, theirs] = [placeOf(feed.position).life, placeOf(messages[0]?.[0] ?? place).life];
    if (ours !== undefined && theirs !== undefined && ours !== theirs) return "wrong"; // another server
    // Where it could not be continued, the other session has to bring what is before.
    if (isBehind(feed.position, place) || session.heardAt(feed.channel) >= this.confirmedAt + orderSeconds * 1000) return "ready";
    return "wait";
  }

  // handOver gives the feed what came meanwhile.
  handOver() {
    if (this.feed.isLossy && !this.isWhole) this.feed.gap(this.place, gaps.unknown);
    this.feed.isLossy = false;
    if (this.feed.state !== "open") this.feed.confirm(this.place, this.asked);
    for (const [id, payload] of this.messages) this.feed.message(id, payload);
  }
}

// A Session is one way to the server, from its first try to its end. opened comes with
// the first answer (undefined) or says how it ended before; ended says how it ended.
// feeds are those that it serves: those of the client, or the shadows of them.
class Session {
  #opened = deferred();
  #ended = deferred();
  isOpen = false; // it has had its first answer
  isOver = false;

  constructor(core, kind, feeds) {
    this.core = core;
    this.kind = kind;
    this.feeds = feeds;
    this.opened = this.#opened.promise;
    this.ended = this.#ended.promise;
  }

  open() {
    this.isOpen = true;
    this.openedAt ??= this.core.now();
    this.#opened.resolve();
  }

  end(ending) {
    if (this.isOver) return;
    this.isOver = true;
    this.isOpen = false;
    this.stop();
    for (const feed of this.feeds.values()) feed.interrupted();
    this.#opened.resolve(ending);
    this.#ended.resolve(ending);
  }

  // leave ends it when its feeds have moved to another one.
  leave() {
    this.feeds = new Map();
    this.end({ outcome: "better", reason: "a better transport works" });
  }

  // adopt goes on with the client's own feeds in place of their shadows.
  adopt(feeds) {
    const shadows = this.feeds;
    this.feeds = feeds;
    for (const shadow of shadows.values()) {
      if (feeds.get(shadow.channel) !== shadow.feed) this.unsubscribe(shadow);
      else shadow.handOver();
    }
    for (const feed of [...feeds.values()]) if (shadows.get(feed.channel)?.feed !== feed) this.subscribe(feed);
  }
}

// A SocketSession is one WebSocket that speaks c10m.v1.
class SocketSession extends Session {
  #socket;
  #timer;
  #asked = new Map(); // channel -> the position that SUB named
  #leaving = new Map(); // channel -> UNSUBs that are not answered yet
  #sent = new Map(); // key -> what was published with it and is not answered
  #isConnected = false; // there was a 101
  #heardAt = 0;
  #pingedAt; // undefined if no answer is due

  constructor(core, feeds, token, connectSeconds) {
    super(core, "websocket", feeds);
    try {
      const { WebSocket } = core.options;
      this.#socket = new WebSocket(core.wsURL + "/", token ? ["c10m.v1", "c10m.token", token] : ["c10m.v1"]);
    } catch (error) {
      this.end({ outcome: "unfit", reason: `no WebSocket: ${error.message}` });
      return;
    }
    this.#socket.binaryType = "arraybuffer";
    this.#within(connectSeconds, { outcome: "silent", reason: "the WebSocket took too long to open" });
    this.#socket.onopen = () => this.#connected();
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onerror = () => {}; // a close follows
    this.#socket.onclose = (event) => this.#closed(event);
  }

  #within(seconds, ending) {
    this.core.cancel(this.#timer);
    this.#timer = this.core.later(seconds, () => this.end(ending));
  }

  #connected() {
    if (this.#socket.protocol !== "c10m.v1") return this.end({ outcome: "unfit", reason: "the server does not speak c10m.v1" });
    this.#isConnected = true;
    this.#within(this.core.options.connectSeconds, { outcome: "mute", reason: "the WebSocket opened, and nothing comes through it" });
    for (const feed of this.feeds.values()) this.subscribe(feed);
    if (this.feeds.size === 0) this.#socket.send("PING"); // for a first answer
  }

  #closed({ code, reason }) {
    if (!this.#isConnected) return this.end({ outcome: "refused", reason: "the WebSocket was refused, or nobody answers" });
    if (code === 1005 || code === 1006 || !this.isOpen && !(code in codes)) {
      return this.end({ outcome: this.isOpen ? "lost" : "cut", code, reason: "the WebSocket ended without a word" });
    }
    const ending = closing(code, reason);
    if (ending.outcome === "missed") for (const feed of this.feeds.values()) feed.gap(feed.position, gaps.bus);
    this.end(ending);
  }

  stop() {
    this.core.cancel(this.#timer);
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
    const unanswered = [...this.#sent.values()];
    this.#sent.clear();
    this.core.outbox.unanswered(unanswered, "the WebSocket ended");
  }

  subscribe(feed) {
    if (!this.#isConnected || this.isOver || feed.isOver) return;
    this.#asked.set(feed.channel, feed.position);
    this.#socket.send(feed.position === undefined ? `SUB ${feed.name}` : `SUB ${feed.name} ${feed.position}`);
  }

  unsubscribe(feed) {
    if (!this.#isConnected || this.isOver) return;
    this.#leaving.set(feed.channel, (this.#leaving.get(feed.channel) ?? 0) + 1);
    this.#socket.send(`UNSUB ${feed.name}`);
  }

  heardAt() { return this.#heardAt; }

  get hasRoom() { return this.#socket.bufferedAmount < socketBytesMax; }

  publish(item) {
    this.#sent.set(item.key, item);
    item.timer = this.core.later(this.core.options.publishSeconds, () => {
      this.#sent.delete(item.key);
      this.core.outbox.unanswered([item], "the server did not answer");
    });
    const head = `PUB ${encodeURIComponent(item.channel)} ${item.key}\n`;
    if (typeof item.payload === "string") return this.#socket.send(head + item.payload);
    const start = encoder.encode(head);
    const frame = new Uint8Array(start.length + item.payload.length);
    frame.set(start);
    frame.set(item.payload, start.length);
    this.#socket.send(frame);
  }

  // watch notices a connection that is dead without a word: scripts do not see the
  // server's pings, so they ask themselves when nothing came for a while.
  #watch() {
    const { heartbeatSeconds, pongSeconds } = this.core.options;
    this.core.cancel(this.#timer);
    if (heartbeatSeconds === 0 && this.#pingedAt === undefined) return;
    const due = this.#pingedAt === undefined ? this.#heardAt + heartbeatSeconds * 1000 : this.#pingedAt + pongSeconds * 1000;
    this.#timer = this.core.later(Math.max(0, due - this.core.now()) / 1000, () => {
      const now = this.core.now();
      if (this.#pingedAt === undefined) {
        if (now - this.#heardAt >= heartbeatSeconds * 1000) this.#ping();
        else this.#watch();
      } else if (now - due < frozenSeconds * 1000) this.end({ outcome: "dead", reason: "the server does not answer" });
      else this.#ping();
    });
  }

  #ping() {
    this.#pingedAt = this.core.now();
    this.#socket.send("PING");
    this.#watch();
  }

  // check asks a connection that may be dead, and was not heard of for so long.
  check(seconds) {
    if (this.isOpen && this.#pingedAt === undefined && this.core.now() - this.#heardAt >= seconds * 1000) this.#ping();
  }

  #receive(data) {
    this.#heardAt = this.core.now();
    const isFirst = !this.isOpen;
    if (isFirst || this.#pingedAt !== undefined) {
      this.#pingedAt = undefined;
      this.#watch();
    }
    const payload = typeof data === "string" ? data : new Uint8Array(data);
    const at = payload.indexOf(typeof data === "string" ? "\n" : 10);
    let head = at < 0 ? payload : payload.slice(0, at);
    if (typeof head !== "string") head = String.fromCharCode(...head); // short, and ASCII
    this.#command(head.split(" "), at < 0 ? "" : typeof data === "string" ? payload.slice(at + 1) : payload.subarray(at + 1));
    if (isFirst && !this.isOver) this.open();
  }

  #command([verb, first, second, third, fourth], body) {
    const channel = decodeURIComponent((verb === "MSG" || verb === "GAP" ? first : second) ?? "");
    const feed = this.#leaving.has(channel) ? undefined : this.feeds.get(channel);
    switch (verb) {
      case "MSG":
        feed?.message(second, body);
        break;
      case "GAP":
        if (!feed?.gone(second, this.#asked.get(channel), third === "0")) break;
        this.unsubscribe(feed);
        this.subscribe(feed);
        break;
      case "OK":
        if (first === "SUB") feed?.confirm(third, this.#asked.get(channel));
        else if (first === "UNSUB") this.#left(channel);
        else this.#answered(third, (item) => item.resolve({ transport: "websocket", ...fourth && { id: fourth } }));
        break;
      case "ERR":
        if (first === "UNSUB") this.#left(channel);
        else if (first === "SUB" && feed) this.#notSubscribed(feed, third, body);
        else if (first === "PUB") this.#notPublished(channel, third, fourth, body);
    }
  }

  #notPublished(channel, code, key, message) {
    const failed = (item) => {
      const error = new C10mError(code, message, { key: item.key });
      return code === "overload" ? this.core.outbox.later(item, 0, error) : item.reject(error);
    };
    this.core.dispatch("error", { command: "PUB", channel, code, message });
    this.#answered(key, failed);
  }

  #answered(key, settle) {
    const item = this.#sent.get(key);
    if (!item) return;
    this.#sent.delete(key);
    this.core.cancel(item.timer);
    settle(item);
  }

  #notSubscribed(feed, code, message) {
    if (code !== "overload" && code !== "bus_down") return feed.refuse({ code, message });
    const again = () => this.feeds.get(feed.channel) === feed && this.subscribe(feed);
    this.core.later(this.core.delay({ outcome: "busy" }, feed) / 1000, again);
  }

  #left(channel) {
    const count = (this.#leaving.get(channel) ?? 1) - 1;
    if (count > 0) this.#leaving.set(channel, count);
    else this.#leaving.delete(channel);
  }
}

// An EventParser takes the text of an event stream in pieces (WHATWG HTML, 9.2.6)
// and calls back with each block, those without data included.
class EventParser {
  #rest = "";
  #block = {};

  constructor(take) { this.take = take; }

  feed(text) {
    this.#rest += text;
    const line = /\r\n|\n|\r(?!$)/g; // a CR at the end may be half a CRLF
    let start = 0;
    for (let end; (end = line.exec(this.#rest)) !== null; start = line.lastIndex) this.#line(this.#rest.slice(start, end.index));
    this.#rest = this.#rest.slice(start);
  }

  #line(line) {
    if (line === "") {
      const block = this.#block;
      this.#block = {};
      return this.take(block);
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a heartbeat
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#block.data = this.#block.data === undefined ? value : `${this.#block.data}\n${value}`;
    else this.#block[field] = value;
  }
}

// A RequestSession has a stream (sse) or a row of polls for each channel. Each
// recovers by itself as long as another one works; when none does, the session is over.
class RequestSession extends Session {
  #runners = new Map(); // channel -> what reads it

  constructor(core, kind, feeds) {
    super(core, kind, feeds);
    for (const feed of feeds.values()) this.subscribe(feed);
    if (this.#runners.size === 0) this.#probe();
  }

  // probe: without a subscription, see whether somebody is there to publish to.
  async #probe() {
    try {
      const { response, text } = await this.core.exchange("-/c10m.js", { method: "HEAD" }, this.core.options.connectSeconds);
      const wrong = this.core.judge(response, text);
      if (wrong && outcomes[wrong.outcome].next !== "refuse") return this.end(wrong);
      if (!response.headers.get("Content-Type")?.startsWith("text/javascript")) return this.end({ outcome: "unfit", reason: "the answer is not that of a c10m server" });
      this.open();
    } catch (error) {
      this.end({ outcome: error.code === "silent" ? "silent" : "unreachable", reason: failure(error) });
    }
  }

  stop() {
    for (const runner of this.#runners.values()) runner.leave();
  }

  subscribe(feed) {
    if (this.isOver) return;
    // heardAt is when its request began or bytes came last, bytesAt the latter alone.
    const runner = { feed, isUp: false, isOver: false, request: undefined, timer: undefined, failures: 0, openedAt: undefined, heardAt: 0, bytesAt: 0 };
    runner.leave = () => {
      runner.isOver = true;
      runner.request?.abort();
      this.core.cancel(runner.timer);
      runner.wake?.();
    };
    this.#runners.set(feed.channel, runner);
    this.#run(runner);
  }

  unsubscribe(feed) {
    this.#runners.get(feed.channel)?.leave();
    this.#runners.delete(feed.channel);
  }

  adopt(feeds) {
    for (const [channel, runner] of this.#runners) runner.feed = feeds.get(channel) ?? runner.feed;
    super.adopt(feeds);
  }

  heardAt(channel) { return this.#runners.get(channel)?.bytesAt ?? 0; }

  // unreachable: a POST found nobody. If no stream or poll has noticed, it is for us to.
  unreachable(ending) {
    if (![...this.#runners.values()].some((runner) => runner.isUp)) this.end(ending);
  }

  // check is called when the network may have changed. A stream that is dead says
  // nothing, so a quiet one is begun anew, which costs a request and no message.
  check() {
    for (const runner of this.#runners.values()) {
      if (this.core.now() - runner.heardAt >= freshSeconds * 1000) runner.request?.abort(new C10mError("silent", "the network may have changed"));
    }
  }

  async #run(runner) {
    while (!runner.isOver) {
      const ending = await this.#attempt(runner);
      if (runner.isOver) return;
      const { next } = outcomes[ending.outcome];
      if (next === "gap") continue; // at once
      runner.isUp = false;
      runner.feed.interrupted();
      if (next === "refuse") {
        this.#runners.delete(runner.feed.channel);
        this.open(); // it works, and says no
        return runner.feed.refuse({ code: ending.refused, message: ending.reason });
      }
      if (ending.outcome === "missed") runner.feed.gap(runner.feed.position, gaps.bus);
      if (next === "end" || ![...this.#runners.values()].some((other) => other.isUp)) return this.end(ending);
      if (next === "token") this.core.forgetToken();
      await this.#rest(runner, this.core.delay(ending, runner) / 1000);
    }
  }

  async #rest(runner, seconds) {
    this.core.cancel(runner.timer);
    await new Promise((resolve) => {
      runner.wake = resolve;
      runner.timer = this.core.later(seconds, resolve);
    });
  }

  // attempt lasts as long as the stream or the row of polls, and returns how it ended.
  async #attempt(runner) {
    runner.isAnswered = false;
    try {
      return await (this.kind === "sse" ? this.#stream(runner) : this.#polls(runner));
    } catch (error) {
      if (error.code === "tokenless") return { outcome: "tokenless", reason: error.message };
      const late = runner.request?.signal.reason;
      if (late instanceof C10mError) return { outcome: runner.isUp ? "dead" : "silent", reason: late.message };
      return { outcome: runner.isUp ? "lost" : runner.isAnswered ? "cut" : "unreachable", reason: failure(error) };
    } finally {
      this.core.cancel(runner.timer);
      runner.request?.abort(); // what is left of the body
    }
  }

  #up(runner, position, asked) {
    if (runner.isUp) return;
    runner.isUp = true;
    runner.openedAt = this.core.now();
    runner.feed.confirm(position, asked);
    this.open();
  }

  // patience ends a request that is silent for so long.
  #patience(runner, seconds, message) {
    const { request } = runner;
    runner.heardAt = this.core.now();
    this.core.cancel(runner.timer);
    if (seconds > 0) runner.timer = this.core.later(seconds, () => request.abort(new C10mError("silent", message)));
  }

  async #request(runner, parameters, headers, ...patience) {
    const request = runner.request = new AbortController();
    const url = new URL(this.core.urlOf(runner.feed.name));
    for (const [name, value] of Object.entries(parameters)) if (value !== undefined) url.searchParams.set(name, value);
    this.#patience(runner, ...patience);
    const response = await this.core.fetch(url, { headers, signal: request.signal });
    runner.isAnswered = true;
    return response;
  }

  async #stream(runner) {
    const { connectSeconds, streamSilenceSeconds } = this.core.options;
    const asked = runner.feed.position;
    const response = await this.#request(runner, { since: asked }, { Accept: "text/event-stream" },
      connectSeconds, "the stream stays empty, as behind a proxy that buffers");
    const wrong = this.core.judge(response, response.status === 200 ? "" : await response.text());
    if (wrong) return wrong;
    const { body, headers } = response;
    if (!headers.get("Content-Type")?.startsWith("text/event-stream") || !body?.getReader) return { outcome: "unfit", reason: "there is no event stream" };
    let ending;
    const retry = {};
    const parser = new EventParser((block) => {
      if (runner.isOver || ending?.outcome === "gone") return;
      if (block.event !== "gap") this.#up(runner, undefined, asked);
      if (/^\d+$/.test(block.retry)) retry.retrySeconds = block.retry / 1000;
      ending = this.#event(runner.feed, block, asked, keepsNothing(headers)) ?? ending;
    });
    const text = new TextDecoder();
    for (const reader = body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return { outcome: runner.isUp ? "lost" : "cut", reason: "the stream ended", ...ending, ...retry };
      this.#patience(runner, streamSilenceSeconds, "the stream is silent, without a heartbeat");
      runner.bytesAt = runner.heardAt;
      parser.feed(text.decode(value, { stream: true }));
      if (ending?.outcome === "gone") return ending;
    }
  }

  // event returns how the stream will end, if the event says so.
  #event(feed, { event, id, data }, asked, keepsNothing) {
    if (data === undefined) {
      if (id !== undefined) feed.position = id; // where a new stream begins
      return;
    }
    switch (event) {
      case undefined:
      case "message":
        feed.message(id, data);
        break;
      case "base64":
        feed.message(id, Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
        break;
      case "gap":
        if (feed.gone(id, asked, keepsNothing)) return { outcome: "gone", reason: data };
        break;
      case "drain":
        return closing(1012, data);
      case "close":
        return closing(parseInt(data, 10), data.replace(/^\d+ /, ""));
    }
  }

  async #polls(runner) {
    const { pollSeconds } = this.core.options;
    let told; // the position that the answer before this one gave with 410
    let isLive = false; // the server keeps no history: positions are of no use
    for (;;) {
      const asked = isLive ? undefined : runner.feed.position;
      // The first answer comes at once and says that polls get through.
      const wait = runner.isUp ? pollSeconds : 0;
      const since = this.core.now();
      const response = await this.#request(runner, { wait, since: asked }, {}, wait + pollGraceSeconds, "a poll is not answered");
      const { status, headers } = response;
      const body = status === 204 ? new Uint8Array() : new Uint8Array(await response.arrayBuffer());
      const wrong = status === 410 ? undefined : this.core.judge(response, status === 200 ? "" : new TextDecoder().decode(body));
      if (wrong) return wrong;
      const messages = status === 200 ? unpack(headers, body) : [];
      if (!messages) return { outcome: "unfit", reason: "the answer is not that of a poll" };
      if (runner.isOver) return undefined;
      const { feed } = runner;
      runner.bytesAt = this.core.now();
      const position = headers.get("C10m-Position") ?? undefined;
      // A position that was given just now is gone only where none is kept.
      const isFresh = asked !== undefined && asked === told;
      told = status === 410 ? position : undefined;
      if (!isLive && (keepsNothing(headers) ?? (status === 410 && isFresh || runner.isUp && asked === undefined && wait > 0))) {
        isLive = feed.isLossy = true;
        feed.gap(position, gaps.polls, true);
      } else if (status === 410) feed.gone(position, asked, keepsNothing(headers));
      this.#up(runner, status === 204 ? position : undefined, status === 410 ? feed.position : asked);
      for (const { id, data } of messages) if (!runner.isOver) feed.message(id, data);
      if (status === 204 && asked === "first" && position !== undefined) feed.position = position;
      if (runner.isOver) return undefined;
      if (status === 204 && wait > 0 && this.core.now() - since < pollPauseSeconds * 1000) {
        await this.#rest(runner, pollPauseSeconds);
        if (runner.isOver) return undefined;
      }
    }
  }
}

// keepsNothing reads how many messages of a channel the server keeps, if it says so.
function keepsNothing(headers) {
  const history = headers.get("C10m-History");
  return history === null ? undefined : Number(history) === 0;
}

// unpack cuts the messages of a poll out of its body, undefined if they do not
// fill it: something on the way has changed it.
function unpack(headers, body) {
  let at = 0;
  const messages = [];
  for (const entry of (headers.get("C10m-Messages") ?? "").split(",")) {
    const [, id, bytes] = /^\s*(\S+):(\d+)\s*$/.exec(entry) ?? [];
    if (id === undefined) return undefined;
    messages.push({ id, data: body.subarray(at, at += Number(bytes)) });
  }
  return at === body.length ? messages : undefined;
}

// A WayBack tries the better transports beside a session, at intervals that grow.
class WayBack {
  #timer;
  #wake;
  #isOver = false;
  candidate = undefined; // the session that is tried

  // take is called with the session to move to, when it is found.
  constructor(core, session, take) {
    this.core = core;
    this.session = session;
    this.take = take;
    const kinds = core.options.transports;
    this.kinds = kinds.slice(0, kinds.indexOf(session.kind));
    if (this.kinds.length > 0) this.#run();
  }

  stop() {
    this.#isOver = true;
    this.core.cancel(this.#timer);
    this.#wake?.();
    this.candidate?.end({ outcome: "better", reason: "the other session is over" });
  }

  #sleep(seconds) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#timer = this.core.later(seconds, resolve);
    });
  }

  async #run() {
    const { betterFirstSeconds, betterCapSeconds, random } = this.core.options;
    while (!this.#isOver) {
      const seconds = Math.min(betterCapSeconds, betterFirstSeconds * 2 ** this.core.betterTries++);
      await this.#sleep(seconds * (0.5 + random() / 2));
      for (const kind of this.kinds) {
        if (this.#isOver) return;
        if (kind === "sse" && this.core.feeds.size > streamsBesideMax) continue;
        if (await this.#isReady(kind)) return this.take(this.candidate);
        this.candidate?.end({ outcome: "better", reason: "it is not better" });
        this.candidate = undefined;
      }
    }
  }

  // isReady reports whether a transport works, and every subscription may move to it.
  async #isReady(kind) {
    const { core, session } = this;
    const shadows = new Map([...core.feeds].map(([channel, feed]) => [channel, new Shadow(feed)]));
    const token = await core.token().catch(() => undefined);
    if (this.#isOver) return false;
    const candidate = this.candidate = core.sessionOf(kind, shadows, token, Math.max(besideSeconds, core.options.connectSeconds));
    await candidate.opened;
    // A stream that has no heartbeat would keep us here for ever.
    const giveUpAt = core.now() + 1000 * (core.options.streamSilenceSeconds || moveSeconds);
    for (const until = core.now() + core.options.connectSeconds * 1000; !this.#isOver && !candidate.isOver;) {
      const standings = [...shadows.values()].map((shadow) => shadow.standing(session));
      if (standings.includes("wrong")) return false;
      if (!standings.includes("wait")) return true;
      const isUnconfirmed = [...shadows.values()].some((shadow) => !shadow.isOver && shadow.confirmedAt === undefined);
      if (core.now() >= (isUnconfirmed ? until : giveUpAt)) return false;
      await this.#sleep(moveLookSeconds);
    }
    return false;
  }
}

// The Outbox is what waits to be published, oldest first, and what was sent and is not
// answered. What goes through a WebSocket does not wait for a POST.
class Outbox {
  #waiting = [];
  #bytes = 0;
  #posting = undefined; // one at a time: two requests at once have no order
  #notBefore = 0; // a time for the next
  #expiry;
  #retry;

  constructor(core) {
    this.core = core;
    this.limits = { ...outboxLimits, ...core.options.queue };
  }

  get #mayPost() { return this.core.options.transports.some((kind) => kind !== "websocket"); }
  get #mayWait() { return this.core.options.queue && this.core.state !== "closed"; }

  put(item) {
    const { core, limits } = this;
    if (core.state === "closed") item.reject(new C10mError("closed", "the client is closed"));
    else if (core.state !== "open" && !core.options.queue && !this.#mayPost) item.reject(new C10mError("offline", "there is no connection, and no queue"));
    else if (item.bytes > limits.bytes) item.reject(new C10mError("too_big", `a message of ${item.bytes} bytes does not fit the queue`));
    else {
      this.#waiting.push(item);
      this.#bytes += item.bytes;
      this.pump();
      while (this.#waiting.length > limits.messages) this.#drop("count", "too many messages wait");
      while (this.#bytes > limits.bytes) this.#drop("bytes", "too many bytes wait");
    }
  }

  #take() {
    const item = this.#waiting.shift();
    this.#bytes -= item.bytes;
    return item;
  }

  #drop(code, message) {
    const item = this.#take();
    item.reject(new C10mError(code, message, { key: item.key }));
    this.core.dispatch("drop", { channel: item.channel, data: item.payload, code });
  }

  // pump sends what it can.
  pump() {
    const { core } = this;
    this.#expire();
    core.cancel(this.#retry);
    while (this.#waiting.length > 0) {
      const wait = this.#notBefore - core.now();
      if (wait > 0) return this.#pumpIn(wait / 1000);
      const socket = core.socket;
      if (socket) {
        if (!socket.hasRoom) return this.#pumpIn(roomSeconds);
        socket.publish(this.#take());
      } else if (!this.#posting && this.#mayPost && (core.state === "open" || !core.options.queue)) this.#post(this.#take());
      else return;
    }
  }

  #pumpIn(seconds) { this.#retry = this.core.later(seconds, () => this.pump()); }

  // expire drops what has waited too long, and looks again when the next has.
  #expire() {
    const { core, limits } = this;
    core.cancel(this.#expiry);
    const left = () => limits.ageSeconds - (core.now() - this.#waiting[0].at) / 1000;
    while (this.#waiting.length > 0 && left() <= 0) this.#drop("age", "it has waited too long");
    if (this.#waiting.length > 0) this.#expiry = core.later(left(), () => this.#expire());
  }

  // putBack makes messages that wait again the next ones.
  #putBack(items, seconds) {
    this.#waiting.unshift(...items);
    for (const item of items) this.#bytes += item.bytes;
    if (seconds > 0) this.#notBefore = this.core.now() + seconds * 1000;
    this.pump();
  }

  // later is for a message that was surely not published.
  later(item, seconds, error) {
    if (this.#mayWait) this.#putBack([item], Math.max(seconds, this.core.options.backoffFirstSeconds));
    else item.reject(error);
  }

  // unanswered is for messages that may have been published or not. The server knows
  // their keys, if it is the same server: so they are sent again if the page wants that.
  unanswered(items, why) {
    for (const item of items) this.core.cancel(item.timer);
    if (this.limits.repeat && this.#mayWait) return items.length > 0 && this.#putBack(items, 0);
    for (const item of items) item.reject(new C10mError("unreachable", `it may have been published or not: ${why}`, { key: item.key }));
  }

  async #post(item) {
    this.#posting = item;
    try {
      await this.#posted(item);
    } catch (error) {
      const ending = { outcome: error.code === "silent" ? "dead" : "unreachable", reason: failure(error) };
      if (error.code === "tokenless") this.later(item, 0, new C10mError("no_token", error.message, { key: item.key }));
      else if (neverConnected(error)) this.later(item, 0, new C10mError("unreachable", `it was not published: ${failure(error)}`, { key: item.key }));
      else this.unanswered([item], failure(error));
      if (error.code !== "tokenless") this.core.postFailed(ending);
    }
    this.#posting = undefined;
    this.pump();
  }

  async #posted(item) {
    const { core } = this;
    const name = encodeURIComponent(item.channel);
    const init = { method: "POST", body: item.payload, headers: { "Idempotency-Key": item.key } };
    const ask = () => core.exchange(name, init, core.options.publishSeconds);
    let { response, text } = await ask();
    if (response.status === 401) { // nothing was published
      core.forgetToken();
      if (typeof core.options.token === "function") ({ response, text } = await ask());
    }
    if (response.ok) return item.resolve({ transport: "post", ...JSON.parse(text) });
    const wrong = core.judge(response, text);
    const code = { 401: "not_allowed", 413: "too_big", 422: "key_reused", 429: "overload", 503: "bus_down" }[response.status] ?? wrong.refused ?? "failed";
    const error = new C10mError(code, wrong.reason, { status: response.status, retryAfterSeconds: wrong.retryAfter, key: item.key });
    if (response.status === 429) return this.later(item, wrong.retryAfter, error);
    item.reject(error);
  }

  close() {
    while (this.#waiting.length > 0) this.#drop("closed", "the client was closed");
    this.core.cancel(this.#expiry);
    this.core.cancel(this.#retry);
  }
}

// neverConnected: the request cannot have been sent. Node says so of a connection that
// was not made (of each address, where a name has several); a browser says nothing.
function neverConnected({ cause }) {
  return [cause, ...(cause?.errors ?? [])].some((each) => each?.syscall === "connect" || each?.syscall === "getaddrinfo");
}

function bytesOf(data) {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0));
  throw new TypeError("a message is a string, an ArrayBuffer or a view of one");
}

// Keys of messages: nobody guesses one, or has it twice.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Core is the client without its public face.
class Core {
  feeds = new Map(); // channel -> Feed
  state = "connecting";
  transport = undefined;
  failures = 0; // in a row
  openedAt = undefined;
  betterTries = 0; // of the way back, until the best transport has lasted
  #face;
  #session;
  #token; // of a function, until it is at fault
  #asking; // the function, while it is at it
  #worked; // the transport that was open last, and when it was chosen
  #failedRounds = 0;
  #briefs = 0; // sessions in a row that ended at once, without the server's word
  #suspect; // their transport
  #pause; // the wait between two rounds, which a change of the network ends
  #listeners = [];

  constructor(face, url, options) {
    this.#face = face;
    const known = { ...defaults, WebSocket: globalThis.WebSocket, fetch: globalThis.fetch?.bind(globalThis), clock: globalThis, random: Math.random };
    const o = this.options = { ...known };
    for (const [name, value] of Object.entries(options)) {
      if (!(name in known) || name.endsWith("Seconds") && !(value === undefined || value >= 0)) throw new TypeError(`the option ${name} is wrong`);
      if (value !== undefined) o[name] = value;
    }
    if (o.transports.length === 0 || o.transports.some((kind) => !transports.includes(kind))) throw new TypeError(`transports are ${transports}`);
    if (!["new", "kept"].includes(o.afterGap)) throw new TypeError("afterGap is new or kept");
    const base = new URL(url, globalThis.location?.href);
    base.protocol = base.protocol.replace(/^ws/, "http");
    if (!base.protocol.startsWith("http") || base.search || base.hash) throw new TypeError("the URL is that of a server: http://, https://, ws:// or wss://, without a query");
    this.httpURL = base.href.replace(/\/$/, "");
    this.wsURL = this.httpURL.replace(/^http/, "ws");
    this.outbox = new Outbox(this);
    this.#recall();
    this.#listen();
    this.#run();
  }

  // Time. It goes on evenly, whatever is done to the clock on the wall.
  now() { return this.options.clock.performance.now(); }
  wallClock() { return this.options.clock.Date.now(); }
  later(seconds, callback) { return this.options.clock.setTimeout(callback, Math.ceil(seconds * 1000)); } // not sooner
  cancel(timer) { this.options.clock.clearTimeout(timer); }

  // delay is how many milliseconds to wait after an ending. Jitter is full, so that
  // clients who lost the same server do not come back together. counter is
  // what has failed: the client, a stream, a subscription.
  delay(ending, counter) {
    const { backoffFirstSeconds, backoffCapSeconds, random } = this.options;
    const isCalm = outcomes[ending.outcome].next === "soon";
    if (isCalm || this.now() - counter.openedAt >= stableSeconds * 1000) counter.failures = 0;
    counter.openedAt = undefined;
    let seconds = drainSeconds;
    if (!isCalm) seconds = Math.min(backoffCapSeconds, backoffFirstSeconds * 2 ** counter.failures++);
    return 1000 * ((ending.retryAfter ?? 0) + random() * Math.max(seconds, ending.retrySeconds ?? 0));
  }

  dispatch(type, fields) { this.#face.dispatchEvent(new C10mEvent(type, fields)); }

  #set(state, fields) {
    this.state = state;
    this.dispatch("state", { state, transport: this.transport, ...fields });
  }

  // Requests.
  urlOf(name) { return `${this.httpURL}/${name}`; }

  // within ends what takes longer; a promise that nobody keeps is left behind.
  async within(seconds, promise, error, abort) {
    const late = deferred();
    const timer = this.later(seconds, () => {
      late.reject(error);
      abort?.abort(error);
    });
    try {
      return await Promise.race([promise, late.promise]);
    } finally {
      this.cancel(timer);
    }
  }

  async fetch(url, init) {
    const token = await this.token();
    const headers = token ? { ...init.headers, Authorization: `Bearer ${token}` } : init.headers;
    return this.options.fetch(url, { ...init, headers, cache: "no-store", credentials: "omit" });
  }

  // exchange is a whole request with its answer, within its time.
  async exchange(name, init, seconds) {
    await this.token(); // has a time of its own
    const abort = new AbortController();
    const whole = async () => {
      const response = await this.fetch(this.urlOf(name), { ...init, signal: abort.signal });
      return { response, text: await response.text() };
    };
    return this.within(seconds, whole(), new C10mError("silent", `no answer within ${seconds} s`), abort);
  }

  async token() {
    const { token } = this.options;
    if (typeof token !== "function") return token;
    if (this.#token !== undefined) return this.#token;
    // Whoever asks meanwhile waits for the same one.
    this.#asking ??= this.within(tokenSeconds, (async () => token())(), new Error(`it was not there within ${tokenSeconds} s`))
      .finally(() => { this.#asking = undefined; });
    try {
      return this.#token = await this.#asking;
    } catch (error) {
      throw new C10mError("tokenless", `there is no token: ${error.message}`);
    }
  }

  forgetToken() { this.#token = undefined; }

  // judge says what is wrong with an answer, undefined if nothing is.
  judge(response, text) {
    const { status, headers } = response;
    if (status === 200 || status === 204) return undefined;
    const reason = text && text.length < 200 ? text.trim() : `the answer was ${status}`;
    if (status === 401) return { outcome: "token", status, reason };
    if (status === 403 && headers.get("C10m-Close") === "4002") return { outcome: "disconnected", reason };
    if (status === 400 || status === 403) return { outcome: "forbidden", reason, refused: status === 400 ? "bad_channel" : "not_allowed" };
    if (status === 408 || status === 429 || status >= 500) return { outcome: "busy", reason, retryAfter: retryAfter(response, this.wallClock()) };
    return { outcome: "unfit", reason };
  }

  // Subscriptions.
  subscribe(channel, { since } = {}) {
    checkChannel(channel);
    if (since !== undefined && !/^[\w-]+$/.test(since)) throw new TypeError(`${since} is not a position`);
    if (this.state === "closed") throw new C10mError("closed", "the client is closed");
    if (this.feeds.has(channel)) throw new TypeError(`${channel} is subscribed already`);
    const feed = new Feed(this, channel, since);
    this.feeds.set(channel, feed);
    this.#session?.subscribe(feed);
    return feed.public;
  }

  unsubscribe(feed) {
    if (feed.isOver) return;
    this.feeds.delete(feed.channel);
    feed.end("closed");
    this.#session?.unsubscribe(feed);
  }

  refuse(feed, fields) {
    if (this.feeds.get(feed.channel) === feed) this.feeds.delete(feed.channel);
    feed.end("refused", fields);
  }

  // The loop.
  async #run() {
    await null; // who made us may first subscribe and listen
    while (this.state !== "closed") {
      const ending = await this.#round();
      if (this.state === "closed") return;
      const { next } = outcomes[ending.outcome];
      if (next === "end") return this.close({ code: ending.outcome, reason: ending.reason });
      if (next === "token") {
        this.forgetToken();
        if (typeof this.options.token !== "function" && ending.status === 401) return this.close({ code: "token", reason: ending.reason });
      }
      const wait = this.delay(ending, this);
      this.#set("waiting", { reason: ending.reason, code: ending.code, outcome: ending.outcome, retryInSeconds: wait / 1000 });
      const { promise, resolve } = deferred();
      const timer = this.later(wait / 1000, resolve);
      this.#pause = { resolve, isOrdered: ending.retryAfter > 0 };
      await promise;
      this.cancel(timer);
      this.#pause = undefined;
    }
  }

  // round returns how the session ended that it brought about, or why there is none.
  async #round() {
    let ending;
    for (const kind of this.#order()) {
      this.transport = kind;
      this.#set("connecting", ending && { reason: ending.reason, outcome: ending.outcome });
      let token;
      try {
        token = await this.token();
      } catch (error) {
        return { outcome: "tokenless", reason: error.message };
      }
      if (this.state === "closed") return undefined;
      const session = this.#session = this.sessionOf(kind, this.feeds, token);
      ending = await session.opened;
      if (this.state === "closed") return undefined;
      if (ending === undefined) return this.#live(session);
      this.#session = undefined;
      ending = this.#seen(ending);
      if (outcomes[ending.outcome].next !== "another") break;
    }
    this.#failedRounds++;
    // A browser does not say why a WebSocket was refused. If nothing else can ask, it
    // may have been the token.
    if (this.options.transports.join() === "websocket" && this.#failedRounds >= loyalRounds) this.forgetToken();
    return ending;
  }

  sessionOf(kind, feeds, token, connectSeconds = this.options.connectSeconds) {
    return kind === "websocket" ? new SocketSession(this, feeds, token, connectSeconds) : new RequestSession(this, kind, feeds);
  }

  // seen takes what the browser knows of its network into account, if nobody spoke.
  #seen(ending) {
    const isSilent = outcomes[ending.outcome].server === "?" && ending.outcome !== "tokenless";
    return isSilent && globalThis.navigator?.onLine === false ? { ...ending, outcome: "offline" } : ending;
  }

  // order is which transports to try: the one that worked alone at first, then all.
  #order() {
    const kinds = this.options.transports;
    if (this.#suspect) return [...kinds.filter((kind) => kind !== this.#suspect), this.#suspect];
    return this.#worked && this.#failedRounds < loyalRounds ? [this.#worked.kind] : kinds;
  }

  // live lasts as long as the session, or the better one that it moves to, and returns
  // how it ended.
  async #live(session) {
    for (;;) {
      this.#opened(session.kind);
      let wayBack;
      const better = new Promise((resolve) => { wayBack = new WayBack(this, session, resolve); });
      const next = await Promise.race([session.ended, better]);
      const isStable = this.now() - session.openedAt >= stableSeconds * 1000;
      if (isStable && session.kind === this.options.transports[0]) this.betterTries = 0;
      if (!(next instanceof Session)) {
        wayBack.stop();
        this.#session = undefined;
        return this.#counted(session, this.#seen(next), isStable);
      }
      this.#session = next;
      session.leave();
      next.adopt(this.feeds);
      this.transport = next.kind;
      session = next;
    }
  }

  // counted makes the last of some brief sessions one that says something of its transport.
  #counted(session, ending, isStable) {
    const isSilent = ending.outcome === "lost" || ending.outcome === "dead";
    this.#briefs = isSilent && !isStable ? this.#briefs + 1 : 0;
    this.#suspect = undefined;
    if (this.#briefs < briefSessions) return ending;
    this.#briefs = 0;
    this.#suspect = session.kind;
    return { ...ending, outcome: "brief" };
  }

  #opened(kind) {
    this.openedAt = this.now();
    this.#failedRounds = 0;
    this.#suspect = undefined;
    this.#worked = { kind };
    try {
      if (this.options.remember) globalThis.localStorage?.setItem(`c10m ${this.httpURL}`, `${kind} ${this.wallClock()}`);
    } catch { /* a page may be denied it */ }
    this.#set("open");
    this.outbox.pump();
  }

  // recall begins with what worked on the page before. Pages share no clock but that on
  // the wall; where it was set, the best transport is tried first, which does no harm.
  #recall() {
    try {
      const [kind, at] = globalThis.localStorage?.getItem(`c10m ${this.httpURL}`)?.split(" ") ?? [];
      const age = this.wallClock() - Number(at);
      if (this.options.remember && this.options.transports.includes(kind) && age >= 0 && age < this.options.rememberSeconds * 1000) this.#worked = { kind };
    } catch { /* a page may be denied it */ }
  }

  // listen hears of what may have changed while nothing was sent: the network is back, the
  // page is shown again, or it goes on after it was frozen.
  #listen() {
    const { document } = globalThis;
    const look = (seconds) => {
      if (document?.visibilityState === "hidden" && seconds > 0) return;
      if (this.#pause && !this.#pause.isOrdered) this.#pause.resolve();
      this.#session?.check(seconds);
    };
    const add = (target, type, seconds) => {
      const listener = () => look(seconds);
      target?.addEventListener?.(type, listener);
      this.#listeners.push(() => target?.removeEventListener?.(type, listener));
    };
    add(globalThis, "online", 0);
    add(globalThis, "pageshow", awakeSeconds);
    add(document, "visibilitychange", awakeSeconds);
    add(document, "resume", 0);
  }

  // socket is the WebSocket that messages go through, if there is one.
  get socket() { return this.#session instanceof SocketSession && this.#session.isOpen && this.state === "open" ? this.#session : undefined; }

  // postFailed: a POST found nobody.
  postFailed(ending) {
    if (this.#session instanceof RequestSession) this.#session.unreachable(ending);
  }

  close(fields = { code: "closed", reason: "the client was closed" }) {
    if (this.state === "closed") return;
    for (const remove of this.#listeners) remove();
    for (const feed of this.feeds.values()) feed.end("closed", fields);
    this.feeds.clear();
    this.#set("closed", fields);
    this.#session?.end({ outcome: "closed", reason: fields.reason });
    this.#pause?.resolve();
    this.outbox.close();
  }

  publish(channel, data, { key = newKey() } = {}) {
    checkChannel(channel);
    if (!/^[!#-[\]-~]{1,128}$/.test(key)) throw new TypeError("a key is 1 to 128 printable ASCII characters without blanks, quotes and backslashes");
    const payload = typeof data === "string" ? data : bytesOf(data);
    const item = { channel, payload, key, bytes: typeof payload === "string" ? encoder.encode(payload).length : payload.length, at: this.now(), timer: undefined, ...deferred() };
    item.promise.catch(() => {}); // who does not wait for it hears of it by an event
    this.outbox.put(item);
    return item.promise;
  }
}

/** A connection to one server, with any number of subscriptions. */
export class C10m extends EventTarget {
  #core;
  constructor(url, options = {}) {
    super();
    this.#core = new Core(this, url, options);
  }
  get state() { return this.#core.state; }
  get transport() { return this.#core.transport; }
  subscribe(channel, options) { return this.#core.subscribe(channel, options); }
  publish(channel, data, options) { return this.#core.publish(channel, data, options); }
  close() { this.#core.close(); }
}
