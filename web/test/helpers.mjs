// What the tests of c10m.js share: clients of a server in memory, made anew for each
// test, and what they have heard.
import { afterEach, beforeEach, test } from "node:test";
import { C10m } from "../src/c10m.js";
import { Clock, Server, settle } from "./fake.mjs";

export let clock, server;
let clients;

// What a browser's window has and Node has not.
export const network = new EventTarget();
export const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
export const browser = { onLine: true };
globalThis.document = page;
Object.defineProperty(globalThis, "navigator", { value: browser, configurable: true });
globalThis.addEventListener = network.addEventListener.bind(network);
globalThis.removeEventListener = network.removeEventListener.bind(network);
const stored = new Map();
Object.defineProperty(globalThis, "localStorage", { value: { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, value) } });

beforeEach(() => {
  clock = new Clock();
  server = new Server(clock);
  stored.clear();
  browser.onLine = true;
  page.visibilityState = "visible";
  clients = [];
});

afterEach(() => {
  for (const client of clients) client.close();
});

// connect makes a client whose events are kept. random is 1, so that delays are
// those of the caps, unless a test says otherwise.
export function connect(options = {}) {
  const client = new C10m("http://example.test", { WebSocket: server.WebSocket, fetch: server.fetch, clock, random: () => 1, remember: false, ...options });
  clients.push(client);
  client.states = [];
  client.waits = [];
  client.drops = [];
  client.errors = [];
  client.outcomes = []; // of attempts and sessions
  client.addEventListener("state", (event) => {
    client.states.push(event.state === "open" ? `open ${event.transport}` : event.state);
    client.code = event.code;
    if (event.outcome) client.outcomes.push(event.outcome);
    if (event.state === "waiting") client.waits.push(event.retryInSeconds);
  });
  client.addEventListener("drop", ({ data, code }) => client.drops.push(`${code} ${data}`));
  client.addEventListener("error", ({ command, channel, code }) => client.errors.push(`${command} ${channel} ${code}`));
  return client;
}

// listen subscribes and keeps what comes: messages, and gaps as "gap".
export function listen(client, channel = "news", options = undefined) {
  const subscription = client.subscribe(channel, options);
  subscription.got = [];
  subscription.ids = [];
  subscription.addEventListener("message", ({ id, data }) => {
    subscription.got.push(data);
    subscription.ids.push(id);
  });
  subscription.addEventListener("gap", ({ isLasting }) => subscription.got.push(isLasting ? "lasting gap" : "gap"));
  subscription.addEventListener("error", ({ code }) => subscription.got.push(`error ${code}`));
  return subscription;
}

export const ways = ["websocket", "sse", "poll"];

// each runs a test for each transport alone.
export function each(name, body) {
  for (const way of ways) test(`${way}: ${name}`, () => body({ transports: [way] }, way));
}

export async function publishSlowly(...payloads) {
  for (const payload of payloads) {
    server.publish("news", payload);
    await settle();
  }
}
