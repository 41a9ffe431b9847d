// Subscriptions, transports, backoff, tokens.
import { test } from "node:test";
import assert from "node:assert/strict";
import { C10m } from "../src/c10m.js";
import { settle } from "./fake.mjs";
import { clock, connect, each, listen, network, publishSlowly, server, ways } from "./helpers.mjs";

each("messages arrive with ids, in order, whatever they are made of", async (options) => {
  const client = connect(options);
  const news = listen(client);
  await settle();
  assert.equal(news.state, "open");
  const payloads = ["one", "", "two\nlines\n", "\n", " leading", "CR\rLF\r\n", "\uFEFFmark", "ü€😀", "data: x\nid: y", "a\0b"];
  await publishSlowly(...payloads, Uint8Array.of(0xff, 0, 13, 10), "x".repeat(100_000));
  assert.deepEqual(news.got, [...payloads, Uint8Array.of(0xff, 0, 13, 10), "x".repeat(100_000)]);
  assert.equal(news.ids[1], "aaaaaaaa-2");
  assert.equal(news.position, "aaaaaaaa-12");
});

each("bytes are bytes if one wants them", async (options) => {
  const news = listen(connect({ ...options, bytes: true }));
  await settle();
  await publishSlowly("ü");
  assert.deepEqual(news.got, [Uint8Array.of(0xc3, 0xbc)]);
});

test("sse: a stream that is cut at every byte says the same", async () => {
  server.grain = 1;
  const news = listen(connect({ transports: ["sse"] }));
  await settle();
  await publishSlowly("ü\nb", "\r", "😀");
  await settle();
  assert.deepEqual(news.got, ["ü\nb", "\r", "😀"]);
});

each("channels have any name, and do not mix", async (options) => {
  const client = connect(options);
  const names = ["news", "sport/1", "日本語 é", "a+b?c#d", "100%", "it's(*)!", "a%2Fb"];
  const all = names.map((name) => listen(client, name));
  await settle();
  for (const name of names) server.publish(name, `for ${name}`);
  await settle();
  assert.deepEqual(all.map(({ got }) => got), names.map((name) => [`for ${name}`]));
  for (const wrong of ["", "x".repeat(256), "é".repeat(128), "-/demo", ".", "..", "\ud800"]) assert.throws(() => client.subscribe(wrong), TypeError);
  assert.throws(() => client.subscribe("news"), TypeError);
  assert.throws(() => client.subscribe("other", { since: "a b\nPUB x" }), TypeError);
});

each("since asks for history, and what was published meanwhile is not missed", async (options) => {
  server.publish("news", "one");
  server.publish("news", "two");
  const client = connect(options);
  const first = listen(client, "news", { since: "first" });
  await settle();
  assert.deepEqual(first.got, ["one", "two"]);
  first.close();
  const later = listen(client, "news", { since: first.ids[0] });
  await settle();
  assert.deepEqual(later.got, ["two"]);
});

each("a server that is gone and back with its history: nothing is missed or doubled", async (options) => {
  const client = connect(options);
  const news = listen(client);
  await settle();
  await publishSlowly("one", "two");
  server.isDown = true;
  server.close(1006, "");
  await settle();
  if (options.transports[0] === "poll") await clock.advance(31);
  server.publish("news", "three");
  server.publish("news", "four");
  await clock.advance(10);
  assert.equal(client.state, "waiting");
  server.isDown = false;
  await clock.advance(40);
  server.publish("news", "five");
  await settle();
  assert.deepEqual(news.got, ["one", "two", "three", "four", "five"]);
  assert.equal(client.state, "open");
});

each("another life, or a position that is gone, is a gap that is told", async (options) => {
  const news = listen(connect(options));
  await settle();
  await publishSlowly("one");
  server.restart("bbbbbbbb");
  await clock.advance(40);
  await publishSlowly("two");
  await clock.advance(1);
  assert.deepEqual(news.got, ["one", "gap", "two"]);
  assert.equal(news.position, "bbbbbbbb-1");
});

test("sse: coming back without a position is a gap, since nothing says there was none", async () => {
  server.history = 0;
  const news = listen(connect({ transports: ["sse"] }));
  await settle();
  server.close(1006, "");
  await clock.advance(10);
  assert.deepEqual(news.got, ["gap"]);
});

each("the position at the beginning is enough to come back without a gap", async (options) => {
  const news = listen(connect(options));
  await settle();
  server.isDown = true;
  server.close(1006, "");
  if (options.transports[0] === "poll") await clock.advance(31);
  server.publish("news", "meanwhile");
  server.isDown = false;
  await clock.advance(10);
  assert.deepEqual(news.got, ["meanwhile"]);
});

test("a connection that ends in the middle of history continues there", async () => {
  for (let i = 1; i <= 3; i++) server.publish("news", `${i}`);
  const client = connect({ transports: ["websocket"] });
  const news = client.subscribe("news", { since: "first" });
  const got = [];
  news.addEventListener("message", ({ data }) => {
    got.push(data);
    if (got.length === 1) server.close(1006, "");
  });
  await clock.advance(10);
  assert.deepEqual(got, ["1", "2", "3"]);
});

for (const tells of [true, false]) test(`poll: without history every poll is live, and that is told once, ${tells ? "with" : "without"} positions`, async () => {
  server.history = 0;
  server.tellsPosition = server.says = tells;
  const news = listen(connect({ transports: ["poll"] }));
  await settle();
  await publishSlowly("one", "two", "three");
  await clock.advance(65);
  await publishSlowly("four");
  assert.deepEqual(news.got.filter((entry) => !entry.includes("gap")), ["one", "two", "three", "four"]);
  assert.equal(news.got.filter((entry) => entry === "lasting gap").length, 1);
});

test("sse: lines may end as a proxy likes, cut anywhere", async () => {
  const text = "retry: 2000\r\n\r\nid: aaaaaaaa-1\r\ndata: one\r\ndata: two\r\n\r\n: heartbeat\r\rdata:three\rid\r\r";
  const fetch = async () => new Response(new ReadableStream({
    start(controller) { for (const byte of new TextEncoder().encode(text)) controller.enqueue(Uint8Array.of(byte)); },
  }), { headers: { "Content-Type": "text/event-stream" } });
  const news = listen(connect({ transports: ["sse"], fetch }));
  await settle();
  await settle();
  assert.deepEqual(news.got, ["one\ntwo"]);
  assert.deepEqual(news.ids, ["aaaaaaaa-1"]);
});

test("poll: an answer of 204 that comes too soon is no reason to ask without end", async () => {
  let polls = 0;
  const fetch = async () => {
    polls++;
    return new Response(null, { status: 204, headers: { "C10m-Position": "aaaaaaaa-1" } });
  };
  listen(connect({ transports: ["poll"], fetch }));
  await clock.advance(20);
  assert.ok(polls <= 22, `${polls} polls in 20 s`);
});

test("poll: an answer whose body is not what its header says is no poll's answer", async () => {
  const fetch = async () => new Response("four", { headers: { "C10m-Messages": "aaaaaaaa-1:5" } });
  const client = connect({ transports: ["poll"], fetch });
  const news = listen(client);
  await settle();
  assert.equal(client.state, "waiting");
  assert.deepEqual(news.got, []);
});

each("4001 is a gap, and the position stays", async (options, way) => {
  if (way === "poll") return;
  const news = listen(connect(options));
  await settle();
  await publishSlowly("one");
  server.close(4001, "You may have missed messages.");
  server.publish("news", "two");
  await clock.advance(3);
  assert.deepEqual(news.got, ["one", "gap", "two"]);
});

test("transports are tried in order, and the first that works is taken", async () => {
  listen(connect());
  await settle();
  assert.deepEqual(server.requests, ["websocket"]);

  server.upgrades = false;
  const behindProxy = connect();
  listen(behindProxy);
  await settle();
  assert.deepEqual(behindProxy.states, ["connecting", "connecting", "open sse"]);

  server.streams = "refused";
  const behindWorse = connect();
  const news = listen(behindWorse);
  await settle();
  assert.equal(behindWorse.transport, "poll");
  await publishSlowly("hello");
  assert.deepEqual(news.got, ["hello"]);
});

test("a proxy that buffers streams is found out by their silence", async () => {
  server.upgrades = false;
  server.streams = "buffered";
  const client = connect();
  const news = listen(client);
  await clock.advance(9.9);
  assert.equal(client.state, "connecting");
  await clock.advance(0.2);
  assert.equal(client.state, "open");
  assert.equal(client.transport, "poll");
  await publishSlowly("hello");
  assert.deepEqual(news.got, ["hello"]);
});

test("a server that is down does not make a client prefer a worse transport", async () => {
  const client = connect();
  listen(client);
  await settle();
  server.isDown = true;
  server.close(1006, "");
  await clock.advance(300);
  server.isDown = false;
  await clock.advance(60);
  assert.equal(client.state, "open");
  assert.equal(client.transport, "websocket");
  assert.ok(!server.requests.some((request) => request.startsWith("poll")), "polls were tried though nobody was there");
});

test("what worked is tried first, and a better one beside it", async () => {
  server.upgrades = false;
  const client = connect({ betterFirstSeconds: 30 });
  listen(client);
  await settle();
  server.requests.length = 0;
  server.close(1006, "");
  await clock.advance(20);
  assert.deepEqual(server.requests, ["sse news"]);
  server.upgrades = true;
  await clock.advance(60);
  assert.equal(client.transport, "websocket");
});

test("what worked is remembered for the next page, for a while", async () => {
  server.upgrades = false;
  const first = connect({ remember: true });
  await settle();
  first.close();
  server.requests.length = 0;
  connect({ remember: true });
  await settle();
  assert.deepEqual(server.requests, ["head -/c10m.js"]);
  server.requests.length = 0;
  await clock.advance(600);
  connect({ remember: true });
  await settle();
  assert.equal(server.requests[0], "websocket");
});

test("a network that is back ends the wait, and a connection is asked whether it lives", async () => {
  server.isDown = true;
  const client = connect({ transports: ["websocket"] });
  listen(client);
  await clock.advance(20);
  server.isDown = false;
  network.dispatchEvent(new Event("online"));
  await settle();
  assert.equal(client.state, "open");
  network.dispatchEvent(new Event("online"));
  await settle();
  assert.equal(server.frames.at(-1), "PING");

  const stream = connect({ transports: ["sse"] });
  const news = listen(stream);
  await clock.advance(1);
  server.requests.length = 0;
  network.dispatchEvent(new Event("online"));
  await clock.advance(55);
  assert.deepEqual(server.requests, []); // it was heard of just now
  network.dispatchEvent(new Event("online"));
  await clock.advance(2);
  assert.deepEqual(server.requests, ["sse news"]);
  assert.deepEqual(news.got, []);
});

test("backoff: the window doubles to its cap, jitter is full, and a session that lasts begins anew", async () => {
  server.isDown = true;
  let random = 1;
  const client = connect({ transports: ["websocket"], random: () => random });
  listen(client);
  await clock.advance(110);
  assert.deepEqual(client.waits.slice(0, 7), [1, 2, 4, 8, 16, 30, 30]);
  random = 0.25;
  await clock.advance(30);
  assert.equal(client.waits.at(-1), 7.5);
  random = 1;
  server.isDown = false;
  await clock.advance(30);
  server.close(1006, ""); // it lasted for more than 10 s
  await settle();
  assert.equal(client.waits.at(-1), 1);
});

test("backoff: a server that opens and closes at once is a failure like another", async () => {
  const client = connect({ transports: ["websocket"] });
  client.addEventListener("state", ({ state }) => state === "open" && server.close(1011, "broken"));
  listen(client);
  await clock.advance(20);
  assert.deepEqual(client.waits, [1, 2, 4, 8, 16]);
});

each("Retry-After is waited for, jitter comes on top, and nothing else is tried", async (_, way) => {
  server.refusal = { status: 503, headers: { "Retry-After": "17" } };
  server.upgrades = false;
  const client = connect({ transports: way === "websocket" ? ways : [way] });
  listen(client);
  await settle();
  assert.deepEqual(client.waits, [18]);
  assert.ok(way === "poll" || !server.requests.some((request) => request.startsWith("poll")));
  network.dispatchEvent(new Event("online")); // not before the server's time
  server.refusal = undefined;
  await clock.advance(17.9);
  assert.equal(client.state, "waiting");
  await clock.advance(1);
  assert.equal(client.state, "open");
});

test("a drain is no failure: back within two seconds, or what the stream's retry says", async () => {
  for (const [way, wait] of [["websocket", 2], ["sse", 3]]) {
    const client = connect({ transports: [way] });
    listen(client);
    await settle();
    server.drain();
    await settle();
    assert.deepEqual(client.waits, [wait], way);
  }
});

test("a token is asked for once, and again when it has ended", async () => {
  for (const way of ways) {
    server.good = "first";
    const tokens = ["first", "second"];
    const client = connect({ transports: way === "websocket" ? ways : [way], token: async () => tokens.shift() });
    listen(client);
    await settle();
    assert.equal(client.transport, way);
    server.good = "second";
    if (way === "poll") await clock.advance(31);
    else server.close(1008, "The token has expired.");
    await clock.advance(3);
    assert.equal(client.state, "open", way);
    assert.deepEqual(tokens, []);
  }
});

test("streams that end with one token ask for one new token", async () => {
  server.good = "first";
  const tokens = ["first", "second", "third", "fourth"];
  const client = connect({ transports: ["sse"], token: async () => { await settle(); return tokens.shift(); } });
  for (const name of ["a", "b", "c"]) listen(client, name);
  await settle();
  await settle();
  server.good = "second";
  server.close(1008, "The token has expired.");
  await clock.advance(5);
  for (let i = 0; i < 4; i++) await settle();
  assert.equal(client.state, "open");
  assert.deepEqual(tokens, ["third", "fourth"]);
});

test("with WebSockets alone, a refusal that nobody explains may be the token", async () => {
  server.good = "second";
  const tokens = ["first", "second"];
  const client = connect({ transports: ["websocket"], token: () => tokens.shift() });
  await clock.advance(5);
  assert.equal(client.state, "open");
});

test("a token that stands fast and is refused ends the client", async () => {
  server.good = "good";
  const client = connect({ token: "bad" });
  const news = listen(client);
  await settle();
  assert.equal(client.state, "closed");
  assert.equal(news.state, "closed");
});

test("a token function that fails is tried again", async () => {
  let calls = 0;
  const client = connect({ token: () => { if (calls++ < 2) throw new Error("not yet"); return "x"; } });
  await clock.advance(5);
  assert.equal(client.state, "open");
  assert.equal(calls, 3);
});

each("a channel that is not allowed is refused alone", async (options) => {
  server.forbidden.add("secret");
  const client = connect(options);
  const secret = listen(client, "secret");
  const news = listen(client);
  await settle();
  await publishSlowly("hello");
  assert.deepEqual(secret.got, ["error not_allowed"]);
  assert.equal(secret.state, "refused");
  assert.deepEqual(news.got, ["hello"]);
});

test("websocket: a subscription that the server has no time for is asked for again", async () => {
  server.busy.add("news");
  const news = listen(connect({ transports: ["websocket"] }));
  await clock.advance(2);
  assert.equal(news.state, "connecting");
  server.busy.clear();
  await clock.advance(5);
  assert.equal(news.state, "open");
});

test("websocket: silence is asked about, and no answer is an end", async () => {
  const client = connect({ transports: ["websocket"], heartbeatSeconds: 50 });
  const news = listen(client);
  await settle();
  await clock.advance(30);
  await publishSlowly("one"); // as good as an answer
  await clock.advance(40);
  assert.ok(!server.frames.includes("PING"));
  await clock.advance(15);
  assert.ok(server.frames.includes("PING"));
  assert.equal(client.states.filter((state) => state === "waiting").length, 0);
  server.isCut = true;
  await clock.advance(62);
  assert.equal(client.states.filter((state) => state === "waiting").length, 1);
  server.isCut = false;
  server.publish("news", "two");
  await clock.advance(60);
  assert.deepEqual(news.got, ["one", "two"]);
});

test("sse: a stream without a heartbeat is begun anew", async () => {
  const news = listen(connect({ transports: ["sse"], streamSilenceSeconds: 70 }));
  await settle();
  await publishSlowly("one");
  server.isCut = true;
  server.publish("news", "two");
  await clock.advance(69);
  assert.equal(news.state, "open");
  server.isCut = false;
  await clock.advance(5);
  assert.deepEqual(news.got, ["one", "two"]);
});

test("sse: one stream that fails leaves the others alone", async () => {
  const client = connect({ transports: ["sse"] });
  const news = listen(client);
  await settle();
  server.refusal = { status: 429, headers: { "Retry-After": "5" } };
  const more = listen(client, "more");
  await clock.advance(4);
  assert.equal(client.state, "open");
  assert.equal(more.state, "connecting");
  server.refusal = undefined;
  await clock.advance(10);
  assert.equal(more.state, "open");
  assert.equal(client.states.filter((state) => state.startsWith("open")).length, 1);
  await publishSlowly("hello");
  assert.deepEqual(news.got, ["hello"]);
});

test("websocket: what still comes for a subscription that was closed goes to nobody", async () => {
  const client = connect({ transports: ["websocket"] });
  const old = listen(client);
  await settle();
  server.publish("news", "on its way");
  old.close();
  const next = listen(client);
  await settle();
  server.publish("news", "new");
  await settle();
  assert.deepEqual([old.got, next.got], [[], ["new"]]);
});

test("a loop over messages ends with its subscription, and is told when it is too slow", async () => {
  const client = connect();
  const news = client.subscribe("news");
  await settle();
  const got = [];
  const loop = (async () => { for await (const { data } of news) got.push(data); })();
  await publishSlowly("one", "two");
  news.close();
  await loop;
  assert.deepEqual(got, ["one", "two"]);

  const slow = client.subscribe("slow")[Symbol.asyncIterator]();
  await settle();
  for (let i = 0; i < 1001; i++) server.publish("slow", `${i}`);
  await settle();
  for (let i = 0; i < 1000; i++) assert.equal((await slow.next()).value.data, `${i}`);
  await assert.rejects(slow.next(), { code: "overrun" });
});

test("a client that is closed asks for nothing more", async () => {
  for (const way of ways) {
    const client = connect({ transports: [way] });
    listen(client);
    await settle();
    client.close();
    const before = server.requests.length;
    await clock.advance(100);
    assert.equal(server.requests.length, before);
    assert.equal(server.channel("news").listeners.size, 0);
    assert.equal(client.states.at(-1), "closed");
    assert.equal(clock.timers.size, 0, `${way} leaves timers`);
    await assert.rejects(client.publish("news", "x"), { code: "closed" });
    assert.throws(() => client.subscribe("news"), { code: "closed" });
  }
});

test("what is wrong with the arguments is said at once", () => {
  const make = (url, options) => () => new C10m(url, options);
  assert.throws(make("ftp://example.test"), TypeError);
  assert.throws(make("http://example.test/?x=1"), TypeError);
  assert.throws(make("http://example.test", { transports: [] }), TypeError);
  assert.throws(make("http://example.test", { transports: ["pigeon"] }), TypeError);
  assert.throws(make("http://example.test", { pollSecond: 3 }), TypeError);
  assert.throws(make("http://example.test", { pollSeconds: -3 }), TypeError);
});
