// Publishing, and the queue.
import { test } from "node:test";
import assert from "node:assert/strict";
import { settle } from "./fake.mjs";
import { clock, connect, each, listen, server } from "./helpers.mjs";

each("publishing goes by the WebSocket or by POST, in order", async (options, way) => {
  const client = connect(options);
  const news = listen(client);
  await settle();
  const answers = await Promise.all(["1", "2", "3"].map((data) => client.publish("news", data)));
  await clock.advance(1);
  assert.deepEqual(server.published, ["news=1", "news=2", "news=3"]);
  assert.deepEqual(news.got, ["1", "2", "3"]);
  assert.deepEqual(answers[2], way === "websocket" ? { transport: "websocket", id: "aaaaaaaa-3" } : { transport: "post", connections: answers[2].connections, id: "aaaaaaaa-3" });
  await client.publish("news", Uint8Array.of(0x68, 0x69).buffer);
  assert.equal(server.published.at(-1), "news=hi");
  assert.throws(() => client.publish("news", { no: "object" }), TypeError);
});

test("what the bus did not take is told", async () => {
  server.publishing = { status: 503, headers: { "Retry-After": "2" } };
  const overSocket = connect({ transports: ["websocket"] });
  await settle();
  await assert.rejects(overSocket.publish("news", "x"), { code: "bus_down" });
  assert.deepEqual(overSocket.errors, ["PUB news bus_down"]);
  const overHTTP = connect({ transports: ["sse"] });
  await assert.rejects(overHTTP.publish("news", "x"), { code: "bus_down", status: 503, retryAfterSeconds: 2 });
  server.publishing = { status: 413 };
  await assert.rejects(overHTTP.publish("news", "x"), { code: "too_big" });
  server.isDown = true;
  await assert.rejects(overHTTP.publish("news", "x"), { code: "unreachable" });
});

test("without a queue there is nothing to send into", async () => {
  server.isDown = true;
  const client = connect({ transports: ["websocket"] });
  await settle();
  await assert.rejects(client.publish("news", "x"), { code: "offline" });
});

test("the queue keeps what is sent while offline, and sends it in order", async () => {
  server.isDown = true;
  const client = connect({ queue: {} });
  await settle();
  const sent = ["1", "2", "3"].map((data) => client.publish("news", data));
  server.isDown = false;
  await clock.advance(10);
  await Promise.all(sent);
  assert.deepEqual(server.published, ["news=1", "news=2", "news=3"]);
  assert.deepEqual(client.drops, []);
});

test("the queue is bounded in count, bytes and age, and each drop is told", async () => {
  server.isDown = true;
  const client = connect({ queue: { messages: 3, bytes: 10, ageSeconds: 20 } });
  await settle();
  const first = client.publish("news", "1");
  for (const data of ["2", "3", "4"]) client.publish("news", data);
  await assert.rejects(first, { code: "count" });
  client.publish("news", "12345678");
  await assert.rejects(client.publish("news", "x".repeat(11)), { code: "too_big" });
  assert.deepEqual(client.drops, ["count 1", "count 2"]);
  client.publish("news", "€€");
  assert.deepEqual(client.drops.slice(2), ["count 3", "bytes 4", "bytes 12345678"]);
  await clock.advance(19);
  client.publish("news", "y");
  await clock.advance(2);
  assert.deepEqual(client.drops.slice(5), ["age €€"]);
  client.close();
  assert.deepEqual(client.drops.slice(6), ["closed y"]);
});

test("the queue waits for a 429 by POST", async () => {
  server.publishing = { status: 429, headers: { "Retry-After": "5" } };
  const client = connect({ transports: ["sse"], queue: {} });
  await settle();
  const sent = [client.publish("news", "1"), client.publish("news", "2")];
  await clock.advance(4);
  server.publishing = undefined;
  await clock.advance(2);
  await Promise.all(sent);
  assert.deepEqual(server.published, ["news=1", "news=2"]);
});

test("the queue waits for an overload by the WebSocket", async () => {
  server.publishing = { code: "overload" };
  const client = connect({ transports: ["websocket"], queue: {} });
  await settle();
  const sent = [client.publish("news", "1"), client.publish("news", "2")];
  await settle();
  server.publishing = undefined;
  await clock.advance(3);
  await Promise.all(sent);
  assert.deepEqual(server.published.sort(), ["news=1", "news=2"]);
  server.publishing = { code: "overload" };
  const hasty = connect({ transports: ["websocket"] });
  await settle();
  await assert.rejects(hasty.publish("news", "3"), { code: "overload" });
});

test("a client that only posts notices that nobody is there, and its queue keeps the next", async () => {
  const client = connect({ transports: ["sse"], queue: {} });
  await settle();
  assert.equal(client.state, "open");
  server.isDown = true;
  await assert.rejects(client.publish("news", "1"), { code: "unreachable" });
  await settle();
  assert.equal(client.state, "waiting");
  const kept = client.publish("news", "2");
  server.isDown = false;
  await clock.advance(5);
  await kept;
  assert.deepEqual(server.published, ["news=2"]);
});

test("a POST that found no connection stays in the queue; one that may have been sent does not", async () => {
  let cause = { syscall: "connect" };
  let posts = 0;
  const fetch = async (url, init) => {
    if (init.method === "POST" && cause && ++posts) throw Object.assign(new TypeError("fetch failed"), { cause });
    return server.fetch(url, init);
  };
  const withQueue = { transports: ["sse"], queue: {}, fetch };
  const client = connect(withQueue);
  await settle();
  const kept = [client.publish("news", "1"), client.publish("news", "2")];
  await clock.advance(3);
  assert.ok(posts >= 2 && posts < 10, `${posts} tries in 3 s`);
  cause = undefined;
  await clock.advance(20);
  await Promise.all(kept);
  assert.deepEqual(server.published, ["news=1", "news=2"]);

  cause = { errors: [{ syscall: "connect" }, { syscall: "connect" }] };
  const named = client.publish("news", "3");
  await clock.advance(1);
  cause = undefined;
  await clock.advance(20);
  await named;
  cause = { syscall: "read", code: "ECONNRESET" };
  const reset = client.publish("news", "4");
  await clock.advance(20);
  await assert.rejects(reset, { code: "unreachable" });
  assert.deepEqual(server.published, ["news=1", "news=2", "news=3"]);

  cause = { syscall: "connect" };
  await assert.rejects(connect({ ...withQueue, queue: undefined }).publish("news", "5"), { code: "unreachable" });
});

test("a socket that is full makes messages wait", async () => {
  let socket;
  const Base = server.WebSocket;
  class Full extends Base {
    constructor(...args) {
      super(...args);
      socket = this;
    }
  }
  const client = connect({ WebSocket: Full });
  await settle();
  socket.bufferedAmount = 2 << 20;
  const sent = client.publish("news", "x");
  await clock.advance(1);
  assert.deepEqual(server.published, []);
  socket.bufferedAmount = 0;
  await clock.advance(0.1);
  await sent;
  assert.deepEqual(server.published, ["news=x"]);
});

test("a POST with a token that has ended is made again with a new one, once", async () => {
  server.good = "first";
  const tokens = ["first", "second", "third"];
  const client = connect({ transports: ["sse"], token: () => tokens.shift() });
  await settle();
  server.good = "second";
  await client.publish("news", "1");
  server.good = "none";
  await assert.rejects(client.publish("news", "2"), { code: "not_allowed", status: 401 });
  assert.deepEqual(server.published, ["news=1"]);
  assert.deepEqual(server.requests.filter((request) => request.startsWith("post")).length, 4);
});
