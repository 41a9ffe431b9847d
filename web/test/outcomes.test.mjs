// Every row of the table of outcomes: what brings it about, and that what it says is
// done next is done. docs/c10m.js.md has the same table.
import { readFileSync } from "node:fs";
import { test } from "node:test";
import assert from "node:assert/strict";
import { outcomes } from "../src/c10m.js";
import { settle } from "./fake.mjs";
import { browser, clock, connect, listen, publishSlowly, server } from "./helpers.mjs";

const html = { status: 200, headers: { "Content-Type": "text/html" }, body: "<p>Welcome to this hotel.</p>" };

// opened is a client with a subscription, after its first answer.
async function opened(options) {
  const client = connect(options);
  client.news = listen(client);
  await settle();
  assert.equal(client.state, "open");
  return client;
}

// tried is one that has made an attempt.
async function tried(options, seconds = 0) {
  const client = connect(options);
  client.news = listen(client);
  await clock.advance(seconds);
  return client;
}

const alone = (kind) => ({ transports: [kind] });

// ended is a client whose session was ended with a close code, or its event.
async function ended(kind, code) {
  const client = await opened(alone(kind));
  server.close(code, "The server's word.");
  await settle();
  return client;
}

// answered is one whose request is answered with a refusal.
function answered(kind, refusal) {
  server.refusal = refusal;
  return tried(alone(kind));
}

// The ways to each outcome. One whose next is "another" is of WebSockets unless it says
// which transport would be the next.
const ways = {
  refused: { "a proxy refuses upgrades": () => { server.upgrades = false; return tried(); } },
  silent: {
    "no 101": () => { server.upgrades = "silent"; return tried({}, 10); },
    "no byte of a stream": async () => { server.streams = "buffered"; return { next: "poll", ...await keep(tried({ transports: ["sse", "poll"] }, 10)) }; },
  },
  mute: { "a middlebox swallows frames": () => { server.frames101 = "swallowed"; return tried({}, 10); } },
  cut: Object.fromEntries([1006, 1000, 1001, 1002, 1011].map((code) => [`a middlebox closes after the upgrade with ${code}`, () => { server.frames101 = code; return tried(); }])),
  unfit: {
    "another protocol": () => { server.protocol = ""; return tried(); },
    ...Object.fromEntries([404, 405, 410, 426].map((status) => [`${status} to a stream`, async () => {
      server.refusal = { status };
      return { next: "poll", ...await keep(tried({ transports: ["sse", "poll"] })) };
    }])),
    "a page in place of a stream": async () => { server.streams = "html"; return { next: "poll", ...await keep(tried({ transports: ["sse", "poll"] })) }; },
    "a page in place of a poll": async () => { server.refusal = html; return { next: "sse", ...await keep(tried({ transports: ["poll", "sse"] })) }; },
    "a page in place of c10m.js": async () => { server.refusal = html; return { next: "poll", client: await (async () => { const client = connect({ transports: ["sse", "poll"] }); await settle(); return client; })() }; },
  },
  brief: {
    "each session ends at once": async () => {
      const client = connect();
      client.addEventListener("state", ({ state, transport }) => state === "open" && transport === "websocket" && setImmediate(() => server.close(1006, "")));
      listen(client);
      await clock.advance(8);
      return client;
    },
  },
  unreachable: Object.fromEntries(["sse", "poll"].map((kind) => [kind, () => { server.isDown = true; return tried({ transports: kind === "sse" ? ["sse", "poll"] : ["poll"] }); }])),
  offline: {
    "before the first answer": () => { browser.onLine = false; server.isDown = true; return tried(); },
    "afterwards": async () => {
      const client = await opened(alone("websocket"));
      browser.onLine = false;
      server.close(1006, "");
      await settle();
      return client;
    },
  },
  lost: Object.fromEntries(["websocket", "sse"].map((kind) => [kind, () => ended(kind, 1006)])),
  dead: {
    "no PONG": async () => { const client = await opened({ ...alone("websocket"), heartbeatSeconds: 20 }); server.isCut = true; await clock.advance(30); return client; },
    "no heartbeat": async () => { const client = await opened({ ...alone("sse"), streamSilenceSeconds: 20 }); server.isCut = true; await clock.advance(20); return client; },
    "a poll is not answered": async () => {
      const client = await opened({ ...alone("poll"), pollSeconds: 5 });
      server.isCut = true;
      await clock.advance(5); // the one that waits
      await clock.advance(15);
      return client;
    },
  },
  busy: {
    ...Object.fromEntries([408, 429, 500, 502, 503, 504].flatMap((status) => ["sse", "poll"].map((kind) => [`${status} to ${kind}`, () => answered(kind, { status })]))),
    "close 1013": () => ended("websocket", 1013),
    "event close 1013": () => ended("sse", 1013),
  },
  closed: { websocket: () => ended("websocket", 1011), sse: () => ended("sse", 1011) },
  drain: {
    websocket: () => ended("websocket", 1012),
    sse: async () => { const client = await opened(alone("sse")); server.drain(); await settle(); return client; },
  },
  missed: { websocket: () => ended("websocket", 4001), sse: () => ended("sse", 4001) },
  token: {
    ...Object.fromEntries(["sse", "poll"].map((kind) => [`401 to ${kind}`, () => { server.good = "good"; return tried(alone(kind)); }])),
    "close 1008": () => ended("websocket", 1008),
    "event close 1008": () => ended("sse", 1008),
  },
  tokenless: {
    "the function fails": () => tried({ token: () => { throw new Error("no"); } }),
    "the function does not answer": () => tried({ token: () => new Promise(() => {}) }, 30),
  },
  forbidden: Object.fromEntries([400, 403].flatMap((status) => ["sse", "poll"].map((kind) => [`${status} to ${kind}`, () => answered(kind, { status })]))),
  disconnected: {
    "close 4002": () => ended("websocket", 4002),
    "event close 4002": () => ended("sse", 4002),
    "403 to a poll": async () => {
      const client = await opened({ ...alone("poll"), pollSeconds: 5 });
      server.refusal = { status: 403, headers: { "C10m-Close": "4002" } };
      await clock.advance(5);
      return client;
    },
  },
  gone: Object.fromEntries(["websocket", "sse", "poll"].map((kind) => [kind, async () => {
    const client = connect(alone(kind));
    client.news = listen(client, "news", { since: "zzzzzzzz-1" });
    await settle();
    return client;
  }])),
  better: {
    "upgrades pass again": async () => {
      server.upgrades = false;
      const client = await opened();
      assert.equal(client.transport, "sse");
      server.upgrades = true;
      await clock.advance(2);
      return client;
    },
  },
};

async function keep(client) { return { client: await client }; }

// What is done next, as seen from outside. made is what the way came to, before time goes on.
const next = {
  async another(outcome, client, kind = "sse") {
    if (outcome === "brief") { // after its pause
      assert.ok(client.outcomes.includes(outcome));
      assert.deepEqual(client.states.slice(0, 10), [...Array(3).fill(["connecting", "open websocket", "waiting"]).flat(), "connecting"]);
      assert.equal(client.states[10], "open sse");
      return;
    }
    assert.equal(client.outcomes[0], outcome);
    assert.equal(client.states[1], "connecting", "the next transport is tried at once");
    assert.equal(client.transport === kind || client.states.length > 2, true);
    assert.ok(server.requests.some((request) => request.startsWith(kind) || request.startsWith("head")), `${kind} was not tried: ${server.requests}`);
  },
  async wait(outcome, client) {
    assert.equal(client.state, "waiting");
    assert.equal(client.outcomes.at(-1), outcome);
    assert.ok(client.waits.at(-1) <= 2); // what the stream said
    const before = server.requests.length;
    const kind = client.transport;
    server.refusal = undefined;
    server.isDown = server.isCut = false;
    await clock.advance(2);
    if (outcome !== "tokenless") assert.ok(server.requests[before].startsWith(kind), `${server.requests[before]} after ${kind}`);
  },
  async soon(outcome, client) {
    assert.equal(client.outcomes.at(-1), outcome);
    assert.ok(client.waits.at(-1) <= 3);
    await clock.advance(3);
    assert.equal(client.state, "open");
    assert.deepEqual(client.news.got, outcome === "missed" ? ["gap"] : []);
  },
  async token(outcome, client) {
    assert.equal(client.outcomes.at(-1) ?? "401", outcome === "token" && client.state === "closed" ? "401" : outcome);
    assert.ok(client.state === "closed" || client.waits.at(-1) <= 2);
    // With a function it is asked anew.
    server.good = "second";
    const tokens = ["first", "second"];
    const other = connect({ transports: [client.transport], token: () => tokens.shift() });
    listen(other);
    await clock.advance(5);
    assert.deepEqual(tokens, []);
    assert.equal(other.state, "open");
  },
  async refuse(_, client) {
    assert.equal(client.state, "open");
    assert.equal(client.news.state, "refused");
    assert.match(client.news.got[0], /^error (not_allowed|bad_channel)$/);
  },
  async gap(_, client) {
    assert.equal(client.state, "open");
    assert.equal(client.news.got[0], "gap");
    await publishSlowly("after");
    assert.deepEqual(client.news.got, ["gap", "after"]);
    assert.deepEqual(client.waits, []);
  },
  async end(outcome, client) {
    assert.equal(client.state, "closed");
    assert.equal(client.news.state, "closed");
    const before = server.requests.length;
    await clock.advance(100);
    assert.equal(server.requests.length, before, "it comes back");
    assert.equal(client.code, outcome);
  },
  async move(_, client) {
    assert.equal(client.transport, "websocket");
    assert.equal(client.state, "open");
    assert.deepEqual(client.waits, []);
    assert.equal(server.channel("news").listeners.size, 1, "the worse one is left");
    await publishSlowly("after");
    assert.deepEqual(client.news.got, ["after"]);
  },
};

for (const [outcome, row] of Object.entries(outcomes)) {
  for (const [way, bring] of Object.entries(ways[outcome] ?? { "there is no way to it": () => assert.fail("no test brings it about") })) {
    test(`${outcome}: ${way}: ${row.next}`, async () => {
      const made = await bring();
      const client = made.client ?? made;
      await next[row.next](outcome, client, made.next);
    });
  }
}

test("the table in docs/c10m.js.md is that of the source", () => {
  const page = readFileSync(new URL("../../docs/c10m.js.md", import.meta.url), "utf8");
  const rows = page.match(/^\| `\w+` \|.*$/gm) ?? [];
  const want = Object.entries(outcomes).map(([name, { when, server: ours, network, transport, next: then }]) => `| \`${name}\` | ${when} | ${ours} | ${network} | ${transport} | ${then} |`);
  assert.deepEqual(rows, want);
});
