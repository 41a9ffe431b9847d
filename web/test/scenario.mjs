// What c10m.js does with a real server and real faults, in Node and in a browser
// alike. Steps are taken side by side, and each has a rig of its own from the test that
// started this: at has its addresses, and ask(what, body) does something to it, kills the
// server, cuts the network, or publishes. at.direct is the server; line has a network between
// that can be cut, box a middlebox; noUpgrades has a proxy that refuses WebSockets, and
// buffers one that keeps streams back, too. A step that fails throws.

import { browserOnly, middleboxes } from "./middleboxes.mjs";
import { check, same, toolsOf, ways } from "./tools.mjs";

const strange = Uint8Array.of(0xff, 0x00, 0x0d, 0x0a, 0x80);

const steps = {
  async "every transport brings what redis-cli publishes, unchanged and in order"({ at, ask, connect, listen, heard, publish }) {
    for (const way of ways) {
      const client = connect(at.direct, { transports: [way] });
      const name = `${way}/日本 ?#%`;
      const news = await listen(client, name);
      const payloads = ["hello", "", "a\0b", "two\nlines\n", "CR\r\n", "\uFEFFmark", "ü€😀", "x".repeat(300_000), strange];
      for (const payload of payloads) await publish(name, payload);
      await heard(news, payloads.length, client);
      same(news.got, payloads, way);
      news.got.length = 0;
      await ask(`order?messages=2000&channel=${encodeURIComponent(name)}`);
      await heard(news, 2000, client);
      same(news.got, Array.from({ length: 2000 }, (_, i) => `${i}`), `${way}: 2000 in order`);
      client.close();
    }
  },

  async "what one publishes reaches the others, whichever way it goes"({ at, heard, crowd }) {
    const all = await crowd(at.direct, "talk");
    for (const { way, client } of all) {
      const { transport, connections } = await client.publish("talk", `by ${way}`);
      if (way === "websocket") same(transport, way, "the way in");
      else check(transport === "post" && connections >= 2, `${way}: ${connections} connections`);
      await client.publish("talk", strange);
    }
    const want = ways.flatMap((way) => [`by ${way}`, strange]);
    for (const { way, client, subscription } of all) {
      await heard(subscription, want.length, client);
      // The WebSocket's are on their way when the first POST is made.
      const order = (got) => got.map((data) => (typeof data === "string" ? data : "bytes")).sort();
      same(order(subscription.got), order(want), way);
      client.close();
    }
  },

  async "many channels on one client, one after the other left"({ at, connect, listen, heard, publish }) {
    for (const way of ways.slice(0, 2)) {
      const client = connect(at.direct, { transports: [way] });
      const names = ["m1", "m2", "m3"].map((name) => `${way} ${name}`);
      const all = [];
      for (const name of names) all.push(await listen(client, name));
      all[1].close();
      for (const name of names) await publish(name, name);
      await heard(all[0], 1, client);
      await heard(all[2], 1, client);
      same(all.map(({ got }) => got), [[names[0]], [], [names[2]]], way);
      client.close();
    }
  },

  async "history, from the beginning and from a position"({ at, connect, listen, heard, publish }) {
    for (const payload of ["1", "2", "3"]) await publish("past", payload);
    for (const way of ways) {
      const client = connect(at.direct, { transports: [way] });
      const first = client.subscribe("past", { since: "first" });
      const ids = [];
      for await (const { id } of first) if (ids.push(id) === 3) break;
      first.close();
      const later = await listen(client, "past", { since: ids[0] });
      await heard(later, 2, client);
      same(later.got, ["2", "3"], way);
      client.close();
    }
  },

  async "a proxy that refuses upgrades: events; one that buffers them, too: polls"({ at, connect, until, listen, heard, publish }) {
    await Promise.all([[at.direct, "websocket"], [at.noUpgrades, "sse"], [at.buffers, "poll"]].map(async ([url, want]) => {
      const client = connect(url, { connectSeconds: 2, betterFirstSeconds: 0.5, betterCapSeconds: 1 });
      const news = await listen(client, `proxied ${want}`);
      // A slow host may have made it take a worse one at first.
      await until(() => `${want}: ${client.states}`, () => client.state === "open" && client.transport === want);
      await publish(`proxied ${want}`, want);
      await heard(news, 1, client);
      same(news.got, [want], want);
      client.close();
    }));
  },

  async "connections that are reset: all come back, and miss nothing"({ at, ask, heard, publish, crowd }) {
    const all = await crowd(at.line, "reset");
    for (const payload of ["1", "2"]) await publish("reset", payload);
    await ask("reset");
    for (const payload of ["3", "4", "5"]) await publish("reset", payload);
    for (const { way, client, subscription } of all) {
      await heard(subscription, 5, client);
      same(subscription.got, ["1", "2", "3", "4", "5"], way);
      // A browser sends a poll again by itself, and says nothing.
      check(way === "poll" || client.states.some((state) => state.startsWith("waiting")), `${way} has not noticed`);
      client.close();
    }
  },

  async "a network that is cut without a word is noticed, and nothing is missed"({ at, ask, until, heard, publish, crowd }) {
    const all = await crowd(at.line, "cut", { heartbeatSeconds: 1, pongSeconds: 1, streamSilenceSeconds: 4, pollSeconds: 2, connectSeconds: 2 });
    await publish("cut", "1");
    for (const { client, subscription } of all) await heard(subscription, 1, client);
    await ask("cut");
    for (const payload of ["2", "3"]) await publish("cut", payload);
    for (const { way, client } of all) {
      if (way === "poll") continue; // it would wait for its answer 12 s
      await until(() => `${way} notices: ${client.states}`, () => client.states.some((state) => state.startsWith("waiting")));
    }
    await ask("heal");
    await publish("cut", "4");
    for (const { way, client, subscription } of all) {
      await heard(subscription, 4, client);
      same(subscription.got, ["1", "2", "3", "4"], way);
      client.close();
    }
  },

  async "a token that ends is followed by a new one, and the channel goes on"({ at, ask, connect, until, listen }) {
    await Promise.all(ways.map(async (way) => {
      let count = 0;
      const channel = `private-${way}`;
      const token = async () => {
        count++;
        return ask(`token?channel=${channel}&seconds=${count === 1 ? 1 : 600}`);
      };
      const client = connect(at.guarded, { transports: [way], token, pollSeconds: 2 });
      const news = await listen(client, channel);
      await until(() => `${way}: a second token`, () => count >= 2);
      await until(() => `${way} opens again`, () => client.state === "open" && news.state === "open");
      await ask(`publish-guarded?channel=${channel}`, "hello");
      await until(() => `${way}: ${news.got}`, () => news.got.at(-1) === "hello");
      same(count, 2, `${way}: tokens`);
      client.close();
    }));
    const client = connect(at.guarded, { token: () => ask("token?channel=other&seconds=600") });
    const refused = client.subscribe("private");
    const code = await new Promise((resolve) => refused.addEventListener("error", (event) => resolve(event.code)));
    same(code, "not_allowed", "a channel that the token does not allow");
    client.close();
  },
};

// These have a server of their own.
const restarts = {
  async "a server that restarts, in good order or killed: all come back, and are told of the gap"({ at, ask, connect, until, listen, heard, publish, crowd }) {
    for (const end of ["drain", "kill"]) {
      const all = await crowd(at.direct, end);
      const writer = connect(at.direct, { transports: ["websocket"], queue: {} });
      await listen(writer, "writer");
      await ask(end);
      await until(() => "the writer notices", () => writer.state !== "open");
      const queued = [writer.publish("queued", "1"), writer.publish("queued", "2")];
      for (const { client } of all) await until(() => `${end}: ${client.states}`, () => client.state !== "open");
      await ask("start");
      await Promise.all(queued);
      for (const { way, client, subscription } of all) {
        await heard(subscription, 1, client); // the gap
        await until(() => `${way} opens again`, () => subscription.state === "open");
      }
      await publish(end, "after");
      for (const { way, client, subscription } of all) {
        await heard(subscription, 2, client);
        same(subscription.got, ["gap", "after"], `${way} after ${end}`);
        client.close();
      }
      const past = await listen(writer, "queued", { since: "first" });
      await heard(past, 2, writer);
      same(past.got, ["1", "2"], "what was queued");
      writer.close();
    }
  },

  async "what is queued for POST while a server restarts is published once, in order, or told"({ at, ask, connect, until, listen, publish }) {
    for (const end of ["drain", "kill"]) {
      const writers = [];
      for (const way of ways.slice(1)) {
        const client = connect(at.direct, { transports: [way], queue: {} });
        await listen(client, `${end} ${way}`);
        await client.publish("warm", "so that a connection is kept");
        writers.push({ client, channel: `queued ${end} ${way}` });
      }
      await ask(end);
      for (const writer of writers) {
        await until(() => `the writer notices: ${writer.client.states}`, () => writer.client.state !== "open");
        writer.sent = ["1", "2", "3", "4", "5"].map((data) => writer.client.publish(writer.channel, data));
      }
      await ask("start");
      for (const { client, channel, sent } of writers) {
        // A connection that the dead server left may have taken one: nobody knows of it.
        const told = await Promise.allSettled(sent);
        for (const { reason } of told) check(!reason || reason.code === "unreachable", `${channel}: ${reason?.code} ${reason?.message}`);
        const published = told.flatMap(({ status }, i) => (status === "fulfilled" ? [`${i + 1}`] : []));
        check(published.length > 0, `${channel}: nothing was published`);
        await publish(channel, "end");
        const past = await listen(client, channel, { since: "first" });
        await until(() => `${channel}: ${past.got}`, () => past.got.at(-1) === "end");
        const got = past.got.slice(0, -1);
        same([...new Set(got)].sort(), got, `${channel}: once, in order`);
        for (const one of published) check(got.includes(one), `${channel}: ${one} of ${published} is not among ${got}`);
        client.close();
      }
    }
  },
};

// scenario takes all steps.
export async function scenario({ C10m, ask, options }) {
  const take = async (rigs, [name, step]) => {
    await ask("begins", name);
    const { rig, ...at } = JSON.parse(await ask(rigs));
    const tools = toolsOf({ C10m, at, options, ask: (what, body) => ask(`${what}${what.includes("?") ? "&" : "?"}rig=${rig}`, body) });
    try {
      await step(tools);
    } catch (error) {
      throw new Error(`${name}: ${error.message}\n${tools.clients.at(-1)?.states.join("\n")}\n${error.stack}`);
    }
    for (const client of tools.clients) client.close();
    await ask("step", name);
  };
  const all = { ...steps, ...middleboxes, ...globalThis.document ? browserOnly : {} };
  await Promise.all([
    ...Object.entries(restarts).map((step) => take("rig?own", step)),
    ...Object.entries(all).map((step) => take("rig", step)),
  ]);
}
