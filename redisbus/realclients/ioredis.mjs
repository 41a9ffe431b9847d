// The scenario with the npm package ioredis.
import { Redis } from "ioredis";
import { cut, here, password, port, publishUntilHeard, queue, same, step } from "./scenario.mjs";

const options = { port, password, connectionName: "node" };
const client = new Redis(options);
client.on("error", () => {}); // a cut is one
same(await client.publish("news", "plain"), here, "PUBLISH");
step("publish");

const subscriber = client.duplicate();
subscriber.on("error", () => {});
const messages = queue();
subscriber.on("message", messages.push);
subscriber.on("pmessage", messages.push);
same(await subscriber.subscribe("news"), 1, "SUBSCRIBE");
same(await subscriber.psubscribe("o*"), 2, "PSUBSCRIBE");
step("subscribe");

const pipeline = client.pipeline();
for (let i = 0; i < 1000; i++) pipeline.publish("news", i);
same(await pipeline.exec(), Array(1000).fill([null, here + 1]), "a pipeline");
for (let i = 0; i < 1000; i++) same(await messages.next(), ["news", String(i)], "a message of a pipeline");
const automatic = new Redis({ ...options, enableAutoPipelining: true });
same(await Promise.all([automatic.publish("news", "a"), automatic.publish("one", "b")]), [here + 1, 1], "an automatic pipeline");
same(await messages.next(), ["news", "a"], "a message");
same(await messages.next(), ["o*", "one", "b"], "a message by pattern");
automatic.disconnect();
step("pipeline");

same(await client.multi().publish("news", "c").ping().exec(), [[null, here + 1], [null, "PONG"]], "MULTI");
same(await messages.next(), ["news", "c"], "a message of a transaction");
await client.multi({ pipeline: false });
same(await client.publish("news", "d"), "QUEUED", "in MULTI");
same(await client.exec(), [[null, here + 1]], "MULTI, command by command");
same(await messages.next(), ["news", "d"], "a message of a transaction");
const failed = await client.multi().publish("news", "never").call("FOO").exec().then(() => "nothing", (error) => error.message);
same(failed.startsWith("EXECABORT"), true, `a transaction with an unknown command: ${failed}`);
await client.publish("news", "e");
same(await messages.next(), ["news", "e"], "after a failed transaction");
step("multi");

same((await client.info()).includes("redis_version"), true, "INFO");
same((await client.client("LIST")).includes("name=node"), true, "CLIENT LIST");
const cluster = new Redis.Cluster([{ port }], { redisOptions: options, clusterRetryStrategy: () => null, lazyConnect: true });
cluster.on("error", () => {});
same(await cluster.connect().then(() => "connected", () => "refused"), "refused", "a cluster");
step("no cluster");

await cut();
await publishUntilHeard(() => client.publish("news", "again"));
same(await messages.next(), ["news", "again"], "after a cut");
await client.publish("one", "again");
while ((await messages.next())[0] !== "o*");
step("reconnect");
process.exit(0);
