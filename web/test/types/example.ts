// A page that uses all that c10m.d.ts names: web_test.go asks for each name. It is
// compiled and not run.
import { C10m, C10mError, Subscription, outcomes } from "../../c10m.js";
import type {
  ClientEvents, CommandErrorEvent, DropEvent, GapEvent, MessageEvent, OpenEvent, Options, Outcome, PublishOptions, Published, QueueOptions,
  State, StateEvent, SubscriptionCloseEvent, SubscriptionErrorEvent, SubscriptionEvents, Token, Transport,
} from "../../c10m.js";

const say = (...words: unknown[]) => console.log(...words);

// Options.
const transports: Transport[] = ["websocket", "sse", "poll"];
const token: Token = async () => (await fetch("/token")).text();
const queue: QueueOptions = { messages: 10, bytes: 1 << 20, ageSeconds: 5, repeat: true };
const all: Required<Options> = {
  transports, token, queue, bytes: true, afterGap: "kept", remember: false, rememberSeconds: 60,
  connectSeconds: 1, publishSeconds: 1, betterFirstSeconds: 1, betterCapSeconds: 1, backoffFirstSeconds: 1, backoffCapSeconds: 1,
  heartbeatSeconds: 1, pongSeconds: 1, streamSilenceSeconds: 0, pollSeconds: 1,
  WebSocket, fetch, clock: globalThis, random: Math.random,
};
const client = new C10m(new URL("https://example.test/"), all);
new C10m("ws://127.0.0.1:10000").close();
new C10m("/", { token: "fixed", afterGap: "new", transports: undefined });

// The client's events.
const showState = ({ state, transport, reason, outcome, code, retryInSeconds }: StateEvent) => {
  const now: State = state;
  const over: boolean = now === "closed" || now === "connecting" || now === "open" || now === "waiting";
  if (outcome) say(outcomes[outcome].when, outcomes[outcome].server, outcomes[outcome].network, outcomes[outcome].transport, next(outcome));
  say(over, transport?.toUpperCase(), reason?.trim(), typeof code === "number" ? code + 1 : code?.trim(), retryInSeconds?.toFixed());
};
client.addEventListener("state", showState, { once: true });
client.removeEventListener("state", showState);
client.addEventListener("drop", ({ channel, data, code }: DropEvent) => {
  const why: "count" | "bytes" | "age" | "closed" = code;
  say(channel, typeof data === "string" ? data : data.byteLength, why);
});
client.addEventListener("error", ({ command, channel, code, message }: CommandErrorEvent) => say(command, channel, code, message));
const events: (keyof ClientEvents)[] = ["state", "drop", "error"];
for (const event of events) client.addEventListener(event, ({ type }) => say(type));

function next(outcome: Outcome): string {
  switch (outcome) {
    case "refused": case "silent": case "mute": case "cut": case "unfit": case "brief":
    case "unreachable": case "offline": case "lost": case "dead": case "busy": case "closed": case "drain": case "missed":
    case "token": case "tokenless": case "forbidden": case "disconnected": case "gone": case "better":
      break;
    default:
      const nothing: never = outcome;
      return nothing;
  }
  const what = outcomes[outcome].next;
  switch (what) {
    case "another": case "wait": case "soon": case "token": case "refuse": case "gap": case "end": case "move":
      return what;
    default:
      const none: never = what;
      return none;
  }
}

// A subscription and its events.
const news: Subscription = client.subscribe("news", { since: "first" });
const hear = ({ channel, id, data }: MessageEvent) => say(channel, id, typeof data === "string" ? data : data.length);
news.addEventListener("message", hear);
news.removeEventListener("message", hear, { capture: false });
news.addEventListener("gap", ({ channel, position, reason, isLasting }: GapEvent) => say(channel, position?.trim(), reason, isLasting === true));
news.addEventListener("open", ({ channel, position }: OpenEvent) => say(channel, position?.trim()));
news.addEventListener("error", ({ channel, code, message }: SubscriptionErrorEvent) => say(channel, code, message));
news.addEventListener("close", ({ channel, code, message, reason }: SubscriptionCloseEvent) => say(channel, code?.trim(), message?.trim(), reason?.trim()));
const kinds: (keyof SubscriptionEvents)[] = ["message", "gap", "open", "error", "close"];
say(kinds, news.channel, news.position?.trim(), news.state === "connecting" || news.state === "open" || news.state === "refused" || news.state === "closed");
for await (const { id, data } of news) say(id, data);
const iterator = news[Symbol.asyncIterator]();
for await (const message of iterator) say(message.id);
news.close();

// Publishing.
const options: PublishOptions = { key: "key-1" };
try {
  const { transport, connections, id }: Published = await client.publish("news", "hello", options);
  say(transport === "websocket" || transport === "post", connections?.toFixed(), id?.trim());
  await client.publish("news", new Uint8Array(3));
  await client.publish("news", new ArrayBuffer(3));
} catch (error) {
  if (error instanceof C10mError) say(error.code, error.status?.toFixed(), error.retryAfterSeconds?.toFixed(), error.key?.trim(), error.message, error.name);
  else throw new C10mError("failed", "as tests of a page do", { status: 500, retryAfterSeconds: 1, key: "key-1" });
}
say(client.state, client.transport?.trim());
client.close();
