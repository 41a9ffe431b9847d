// What the scenarios of Node share. Arguments: the port, the password, how many
// WebSockets are on the channel "news".
import { isDeepStrictEqual } from "node:util";

export const [port, password, here] = process.argv.slice(2).map((word, i) => (i === 1 ? word : Number(word)));

export function same(got, want, what) {
  if (!isDeepStrictEqual(got, want)) throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

export const step = (name) => console.log(`step: ${name}`);

/** All our connections are cut when it resolves. */
export function cut() {
  const done = new Promise((resolve) => process.stdin.once("data", resolve));
  console.log("cut");
  return done;
}

/** Messages as they come: push is for a listener, next for the scenario. */
export function queue() {
  const messages = [], waiting = [];
  return {
    push(...message) {
      if (waiting.length > 0) waiting.shift()(message);
      else messages.push(message);
    },
    next: () => (messages.length > 0 ? messages.shift() : new Promise((resolve) => waiting.push(resolve))),
  };
}

/** Publishes until the subscriber is back, which takes a client its own time. */
export async function publishUntilHeard(publish) {
  for (;;) {
    try {
      if ((await publish()) === here + 1) return;
    } catch {
      // It is not connected yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
