// The scenario with the npm package redis, over either protocol, and with the cache
// that it fills by CLIENT TRACKING.
import { createClient } from "redis";
import { cut, here, password, port, publishUntilHeard, queue, same, step } from "./scenario.mjs";

const quiet = (client) => client.on("error", () => {}); // a cut is one

async function play(options) {
  const client = quiet(createClient({ socket: { port }, password, name: "node", ...options }));
  await client.connect();
  same(await client.publish("news", "plain"), here, "PUBLISH");
  step("publish");

  const subscriber = quiet(client.duplicate());
  await subscriber.connect();
  const messages = queue();
  await subscriber.subscribe("news", messages.push);
  await subscriber.pSubscribe("o*", messages.push);
  step("subscribe");

  // Commands of one turn are one pipeline, which is its default.
  const replies = await Promise.all(Array.from({ length: 1000 }, (_, i) => client.publish("news", String(i))));
  same(replies, Array(1000).fill(here + 1), "a pipeline");
  for (let i = 0; i < 1000; i++) same(await messages.next(), [String(i), "news"], "a message of a pipeline");
  same(await client.multi().publish("news", "a").publish("one", "b").execAsPipeline(), [here + 1, 1], "a pipeline of multi");
  same(await messages.next(), ["a", "news"], "a message");
  same(await messages.next(), ["b", "one"], "a message by pattern");
  step("pipeline");

  same(await client.multi().publish("news", "c").ping().exec(), [here + 1, "PONG"], "MULTI");
  same(await messages.next(), ["c", "news"], "a message of a transaction");
  const failed = await client.multi().publish("news", "never").addCommand(["FOO"]).exec().then(() => "nothing", (error) => error.message);
  same(failed.startsWith("ERR unknown command 'FOO'"), true, `a transaction with an unknown command: ${failed}`);
  await client.publish("news", "d");
  same(await messages.next(), ["d", "news"], "after a failed transaction");
  step("multi");

  same((await client.info()).includes("redis_version"), true, "INFO");
  same((await client.clientList()).some(({ name }) => name === "node"), true, "CLIENT LIST");

  await cut();
  await publishUntilHeard(() => client.publish("news", "again"));
  same(await messages.next(), ["again", "news"], "after a cut");
  await client.publish("one", "again");
  while ((await messages.next())[1] !== "one");
  step("reconnect");
  client.destroy();
  subscriber.destroy();
}

await play({ RESP: 2 });
step("RESP2");
await play({ RESP: 3 });
step("RESP3");
await play({ RESP: 3, clientSideCache: { ttl: 0, maxEntries: 10 } });
step("cache");
process.exit(0);
