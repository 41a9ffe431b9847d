// Outages, middleboxes, the way back to a better transport, clocks that are set, pages
// that were frozen, and what is published meanwhile.
import { test } from "node:test";
import assert from "node:assert/strict";
import { settle } from "./fake.mjs";
import { browser, clock, connect, each, listen, network, page, publishSlowly, server } from "./helpers.mjs";

// outage cuts everything for so long: what is sent goes nowhere, connections hang.
async function outage(seconds, meanwhile) {
  server.isCut = true;
  await clock.advance(seconds / 2);
  await meanwhile?.();
  await clock.advance(seconds / 2);
  server.isCut = false;
}

for (const seconds of [5, 38, 120]) test(`an outage of ${seconds} s moves nobody off WebSockets for long`, async () => {
  const clients = Array.from({ length: 40 }, () => connect({ random: Math.random, heartbeatSeconds: 20 }));
  const all = clients.map((client) => listen(client));
  await settle();
  await publishSlowly("before");
  server.close(1006, ""); // while it lasts nobody gets through
  await outage(seconds, () => publishSlowly("meanwhile"));
  await clock.advance(60);
  await publishSlowly("after");
  await clock.advance(1);
  for (const client of clients) assert.equal(client.transport, "websocket");
  for (const { got } of all) assert.deepEqual(got, ["before", "meanwhile", "after"]);
  assert.equal(server.channel("news").listeners.size, clients.length, "each has one transport");
});

test("a middlebox that swallows what follows a 101: the next transport, and publish tells the truth", async () => {
  server.frames101 = "swallowed";
  const client = connect({ queue: {} });
  const news = listen(client);
  let isPublished = false;
  const sent = client.publish("news", "x").then(() => { isPublished = true; });
  await clock.advance(9);
  assert.equal(client.state, "connecting");
  assert.equal(isPublished, false, "nobody has it yet");
  await clock.advance(2);
  assert.equal(client.transport, "sse");
  await sent;
  assert.deepEqual(server.published, ["news=x"]);
  assert.deepEqual(news.got, ["x"]);
  // It had worked before, say, at home: then it is tried alone twice.
  server.frames101 = "pass";
  const traveller = connect();
  listen(traveller);
  await settle();
  server.frames101 = "swallowed";
  server.close(1006, "");
  await clock.advance(40);
  assert.equal(traveller.transport, "sse");
});

test("a middlebox that swallows what follows the first answer: publish rejects", async () => {
  const client = connect({ transports: ["websocket"] });
  await settle();
  server.frames101 = "swallowed";
  const sent = client.publish("news", "x");
  await clock.advance(15);
  await assert.rejects(sent, { code: "unreachable" });
});

test("the way back waits for a browser that delays WebSockets after some have failed", async () => {
  server.upgrades = false;
  const Base = server.WebSocket;
  let connects = 0;
  class Delayed { // as Firefox does
    constructor(...args) {
      connects++;
      clock.setTimeout(() => {
        if (this.isClosed) return;
        const socket = new Base(...args);
        this.send = (data) => socket.send(data);
        for (const type of ["onmessage", "onclose"]) socket[type] = (event) => this[type]?.(event);
        socket.onopen = () => { this.protocol = socket.protocol; this.onopen?.(); };
        this.end = () => socket.close();
      }, 60_000);
    }

    close() {
      this.isClosed = true;
      this.end?.();
    }
  }
  const client = connect({ WebSocket: Delayed });
  const news = listen(client);
  await clock.advance(11);
  assert.equal(client.transport, "sse");
  server.upgrades = true;
  await clock.advance(65);
  assert.equal(client.transport, "websocket");
  assert.equal(connects, 2);
  await publishSlowly("one");
  assert.deepEqual(news.got, ["one"]);
});

test("the way back: intervals grow to a limit, and the worse transport goes on meanwhile", async () => {
  server.upgrades = false;
  const { WebSocket } = server;
  const at = [];
  const begun = clock.time;
  class Noted extends WebSocket {
    constructor(...args) {
      super(...args);
      at.push((clock.time - begun) / 1000);
    }
  }
  const client = connect({ WebSocket: Noted, streamSilenceSeconds: 0 });
  const news = listen(client);
  await clock.advance(4000);
  assert.deepEqual(at, [0, 2, 6, 14, 30, 62, 126, 254, 510, 1022, 1622, 2222, 2822, 3422]);
  await publishSlowly("one");
  assert.deepEqual(news.got, ["one"]);
  assert.deepEqual(client.states, ["connecting", "connecting", "open sse"]);
});

for (const history of [100, 0]) for (const [worse, better] of [["sse", "websocket"], ["poll", "websocket"], ["poll", "sse"]]) {
  test(`from ${worse} to ${better} ${history ? "with" : "without"} history: nothing twice, and nothing lost that is not told`, async () => {
    server.history = history;
    server.upgrades = false;
    if (worse === "poll") server.streams = "refused";
    const client = connect();
    const news = listen(client);
    await settle();
    assert.equal(client.transport, worse);
    server.upgrades = better === "websocket";
    server.streams = worse === "poll" && better === "websocket" ? "refused" : "ok";
    let count = 0;
    for (let tenth = 0; tenth < 100; tenth++) {
      server.publish("news", `${++count}`);
      await clock.advance(0.1);
    }
    assert.equal(client.transport, better);
    assert.equal(server.channel("news").listeners.size, 1);
    const got = news.got.filter((each) => !each.includes("gap"));
    assert.deepEqual(got, [...new Set(got)]);
    assert.equal(got.at(-1), `${count}`);
    if (worse === "poll" && history === 0) assert.ok(news.got.includes("gap"));
    else assert.deepEqual(news.got, Array.from({ length: count }, (_, i) => `${i + 1}`));
    assert.deepEqual(client.waits, []);
  });
}

test("from poll to sse with many channels: the browser has no connections for that", async () => {
  server.upgrades = false;
  server.streams = "refused";
  const client = connect();
  for (const name of ["a", "b", "c"]) listen(client, name);
  await settle();
  server.streams = "ok";
  server.requests.length = 0;
  await clock.advance(100);
  assert.ok(!server.requests.some((request) => request.startsWith("sse")));
  server.upgrades = true;
  await clock.advance(200);
  assert.equal(client.transport, "websocket");
});

test("without history a quiet stream is left when it is heard of, and not before", async () => {
  server.history = 0;
  server.upgrades = false;
  const client = connect();
  const news = listen(client);
  await settle();
  server.upgrades = true;
  await clock.advance(100);
  assert.equal(client.transport, "sse");
  for (const stream of server.streamsOpen) stream.send(": heartbeat\n\n");
  await clock.advance(1);
  assert.equal(client.transport, "websocket");
  await publishSlowly("one");
  assert.deepEqual(news.got, ["one"]);
});

test("the better transport may be another server's: without comparable ids the client stays", async () => {
  server.upgrades = false;
  const other = new server.constructor(clock);
  other.life = "bbbbbbbb";
  const { WebSocket } = other;
  other.upgrades = false;
  const client = connect({ WebSocket });
  const news = listen(client);
  await settle();
  await publishSlowly("one");
  other.upgrades = true;
  await clock.advance(10);
  assert.equal(client.transport, "sse");
  await publishSlowly("two");
  assert.deepEqual(news.got, ["one", "two"]);
});

test("subscriptions that come and go while the way back is tried", async () => {
  server.upgrades = false;
  const client = connect();
  const all = ["a", "b"].map((name) => listen(client, name));
  await settle();
  server.upgrades = true;
  let isTried = false;
  await clock.advance(1.99);
  const before = server.requests.length;
  const moving = clock.advance(0.02);
  for (let i = 0; i < 10 && !isTried; i++) {
    await new Promise(setImmediate);
    isTried = server.requests.length > before;
  }
  all[0].close();
  const c = listen(client, "c");
  const again = listen(client, "a");
  await moving;
  await clock.advance(1);
  assert.equal(client.transport, "websocket");
  for (const name of ["a", "b", "c"]) server.publish(name, `for ${name}`);
  await settle();
  assert.deepEqual([all[0].got, all[1].got, c.got, again.got], [[], ["for b"], ["for c"], ["for a"]]);
  for (const name of ["a", "b", "c"]) assert.equal(server.channel(name).listeners.size, 1, name);
});

for (const says of [true, false]) test(`poll: interruptions that are days apart say nothing of the history, ${says ? "which the server tells" : "of which the server tells nothing"}`, async () => {
  server.says = says;
  const client = connect({ transports: ["poll"] });
  const news = listen(client);
  await settle();
  for (const life of ["bbbbbbbb", "cccccccc", "dddddddd"]) {
    server.restart(life);
    await clock.advance(60); // quiet: the position stays that of the 410
  }
  server.publish("news", "1");
  server.publish("news", "2");
  server.publish("news", "3");
  await clock.advance(1);
  assert.deepEqual(news.got, ["gap", "gap", "gap", "1", "2", "3"]);
});

test("poll: the server says whether it keeps history", async () => {
  const news = listen(connect({ transports: ["poll"] }));
  await settle();
  for (const life of ["bbbbbbbb", "cccccccc"]) { // twice at once
    server.restart(life);
    await clock.advance(30.5);
  }
  assert.ok(!news.got.includes("lasting gap"), `${news.got}`);
  server.history = 0;
  const live = listen(connect({ transports: ["poll"] }), "live", { since: "aaaaaaaa-1" });
  await settle();
  assert.deepEqual(live.got, ["lasting gap"]);
});

test("the clock on the wall may be set: neither silence, nor age, nor backoff follow it", async () => {
  const client = connect({ transports: ["websocket"], heartbeatSeconds: 50, queue: { ageSeconds: 20 } });
  listen(client);
  await settle();
  clock.wall -= 3_600_000;
  server.isCut = true;
  await clock.advance(61);
  assert.equal(client.states.at(-1) === "open websocket", false, "a dead connection is noticed");
  const old = client.publish("news", "old");
  clock.wall -= 3_600_000;
  await clock.advance(21);
  await assert.rejects(old, { code: "age" });
  clock.wall += 24 * 3_600_000;
  const fresh = client.publish("news", "fresh");
  await clock.advance(1);
  server.isCut = false;
  await clock.advance(15);
  await fresh;
  assert.deepEqual(server.published, ["news=fresh"]);
});

test("a POST that nobody answers ends in its time, and the rest goes by the WebSocket meanwhile", async () => {
  server.upgrades = false;
  const client = connect({ queue: { ageSeconds: 60 } });
  listen(client);
  await settle();
  assert.equal(client.transport, "sse");
  server.isMute = true;
  const hangs = client.publish("news", "hangs");
  await settle();
  server.isMute = false;
  const rest = ["1", "2"].map((data) => client.publish("news", data));
  server.upgrades = true;
  await clock.advance(3);
  assert.equal(client.transport, "websocket");
  await Promise.all(rest);
  assert.deepEqual(server.published, ["news=hangs", "news=1", "news=2"]);
  await clock.advance(13);
  await assert.rejects(hangs, { code: "unreachable" });
});

each("what waits behind something that is not answered is dropped at its age, and told", async (options, way) => {
  if (way === "websocket") return; // nothing waits behind a PUB
  const client = connect({ ...options, publishSeconds: 100, queue: { ageSeconds: 20 } });
  await settle();
  server.isMute = true;
  client.publish("news", "hangs");
  await settle();
  const waits = client.publish("news", "waits");
  await clock.advance(21);
  await assert.rejects(waits, { code: "age" });
  assert.deepEqual(client.drops, ["age waits"]);
});

each("publish resolves when the server has said so, and not before", async (options) => {
  const client = connect(options);
  await settle();
  server.isMute = true;
  let settled;
  const sent = client.publish("news", "x").then(() => { settled = "resolved"; }, ({ code, key }) => { settled = `${code} ${typeof key}`; });
  await clock.advance(14);
  assert.equal(settled, undefined);
  await clock.advance(2);
  await sent;
  assert.equal(settled, "unreachable string");
  assert.deepEqual(server.published, ["news=x"]);
});

each("with repeat, what was not answered is sent again with its key, and published once", async (options, way) => {
  const client = connect({ ...options, queue: { repeat: true, ageSeconds: 60 } });
  await settle();
  server.isMute = true;
  const all = ["1", "2", "3"].map((data) => client.publish("news", data));
  await settle();
  server.isMute = false;
  if (way === "websocket") server.close(1006, "");
  await clock.advance(20);
  await Promise.all(all);
  assert.deepEqual(server.published, ["news=1", "news=2", "news=3"]);
});

test("a key may be the page's own, and is checked", async () => {
  const client = connect();
  await settle();
  await client.publish("news", "1", { key: "order-17" });
  await client.publish("news", "1", { key: "order-17" });
  assert.deepEqual(server.published, ["news=1"]);
  for (const key of ["", "a b", "a\"b", "x".repeat(129), "é"]) assert.throws(() => client.publish("news", "1", { key }), TypeError);
});

each("afterGap: after a restart, what the new server already has is skipped, or comes after the gap", async (options) => {
  for (const afterGap of ["new", "kept"]) {
    server.restart("aaaaaaaa");
    server.isDown = false;
    const client = connect({ ...options, afterGap });
    const news = listen(client);
    await settle();
    await publishSlowly("one");
    server.isDown = true;
    server.restart("bbbbbbbb");
    await publishSlowly("early", "too");
    server.isDown = false;
    await clock.advance(45);
    await publishSlowly("late");
    await clock.advance(1);
    assert.deepEqual(news.got, afterGap === "new" ? ["one", "gap", "late"] : ["one", "gap", "early", "too", "late"], afterGap);
    client.close();
    await clock.advance(40);
  }
});

for (const says of [true, false]) each(`afterGap: kept brings nothing twice, and ends where nothing is kept${says ? "" : " and nothing is said of it"}`, async (options, way) => {
  server.says = says;
  server.history = 2;
  const client = connect({ ...options, afterGap: "kept" });
  const news = listen(client);
  await settle();
  await publishSlowly("1");
  server.isDown = true;
  server.close(1006, "");
  if (way === "poll") await clock.advance(31);
  for (const payload of ["2", "3", "4"]) server.publish("news", payload);
  server.isDown = false;
  await clock.advance(45);
  assert.deepEqual(news.got, ["1", "gap", "3", "4"]);
  server.history = 0;
  server.restart("cccccccc");
  await clock.advance(45);
  await publishSlowly("5");
  await clock.advance(40);
  await publishSlowly("6");
  assert.deepEqual(news.got.filter((each) => /\d/.test(each)), ["1", "3", "4", "5", "6"]);
  assert.ok(news.got.filter((each) => each.includes("gap")).length <= 4, `${news.got}`);
});

for (const [event, target] of [["visibilitychange", () => page], ["pageshow", () => network], ["resume", () => page], ["online", () => network]]) {
  test(`a connection that died while the page was frozen is noticed at ${event}`, async () => {
    const client = connect({ transports: ["websocket"] });
    const news = listen(client);
    await settle();
    page.visibilityState = "hidden";
    server.isCut = true; // and nothing of the page runs
    clock.time += 120_000;
    server.publish("news", "meanwhile");
    page.visibilityState = "visible";
    target().dispatchEvent(new Event(event));
    await clock.advance(10.5);
    server.isCut = false;
    assert.equal(client.state, "waiting", "after 10.5 s it is still believed");
    await clock.advance(3);
    assert.deepEqual(news.got, ["meanwhile"]);
  });
}

test("a page that is shown often asks nothing of a connection that was heard of", async () => {
  const client = connect({ transports: ["websocket"] });
  listen(client);
  await settle();
  for (let i = 0; i < 5; i++) page.dispatchEvent(new Event("visibilitychange"));
  await settle();
  assert.ok(!server.frames.includes("PING"));
});

test("what came while a page was frozen is read before the connection is called dead", async () => {
  const client = connect({ transports: ["websocket"], heartbeatSeconds: 20 });
  listen(client);
  await settle();
  server.isCut = true;
  await clock.advance(21); // it has asked
  server.isCut = false;
  clock.time += 120_000; // frozen: the timer is late
  await clock.advance(0.1);
  assert.deepEqual(client.waits, []);
  assert.equal(client.state, "open");
});

test("offline: no transport is blamed, and online ends the wait", async () => {
  const client = connect();
  const news = listen(client);
  await settle();
  browser.onLine = false;
  server.isDown = true;
  server.close(1006, "");
  await clock.advance(300);
  assert.ok(client.outcomes.every((outcome) => outcome === "offline"), `${client.outcomes}`);
  assert.ok(server.requests.every((request) => request === "websocket"), `${server.requests}`);
  server.isDown = false;
  browser.onLine = true;
  network.dispatchEvent(new Event("online"));
  await settle();
  assert.equal(client.transport, "websocket");
  assert.equal(news.state, "open");
});

each("a function for the token that hangs is given up, and asked again", async (options) => {
  let calls = 0;
  const client = connect({ ...options, token: () => (calls++ === 0 ? new Promise(() => {}) : "x") });
  listen(client);
  await clock.advance(32);
  assert.equal(client.state, "open");
});

each("a position from the first answer on: since first on a quiet channel is not lost", async (options, way) => {
  server.history = 10;
  server.tellsFirst = true;
  const client = connect(options);
  const news = listen(client, "news", { since: "first" });
  await settle();
  server.isDown = true;
  server.close(1006, "");
  if (way === "poll") await clock.advance(31);
  for (let i = 1; i <= 25; i++) server.publish("news", `${i}`);
  server.isDown = false;
  await clock.advance(45);
  assert.equal(news.got[0], "gap", "of 25 messages 10 are kept");
});
