// Steps of the scenario (scenario.mjs) in which something between page and server is at
// fault: at.box is an address behind a middlebox, and ask("box?mode=...") tells it what
// to do.

import { check, same, ways } from "./tools.mjs";

const hasty = { connectSeconds: 2, heartbeatSeconds: 2, pongSeconds: 2, betterFirstSeconds: 0.5, betterCapSeconds: 1 };
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => `${from + i}`);

function isOpenBy({ until }, client, kind) {
  return until(() => `${kind}: ${client.states.slice(-4)}`, () => client.state === "open" && client.transport === kind);
}

// each makes a step of each case, so that each has a middlebox of its own.
function each(name, cases, step) {
  return Object.fromEntries(cases.map((one) => [`${name}: ${one}`, (tools) => step(tools, one)]));
}

export const middleboxes = {
  ...each("a middlebox that spoils what follows a 101: events, and WebSockets again when it is gone", ["swallow", "close"], async (tools, mode) => {
    const { at, ask, connect, listen, heard, publish } = tools;
    const client = connect(at.box, hasty);
    const news = await listen(client, `box ${mode}`);
    await isOpenBy(tools, client, "websocket");
    await publish(`box ${mode}`, "1"); // so that there is a position
    await heard(news, 1, client);
    await ask(`box?mode=${mode}`);
    await isOpenBy(tools, client, "sse");
    const { transport } = await client.publish(`box ${mode}`, "2");
    same(transport, "post", "the way of a message that is published");
    await heard(news, 2, client);
    await ask("box?mode=pass");
    let last = 2;
    for (; client.transport !== "websocket" && last < 300; last++) await publish(`box ${mode}`, `${last + 1}`);
    await isOpenBy(tools, client, "websocket"); // which Firefox may keep back for a minute
    await publish(`box ${mode}`, `${++last}`);
    await heard(news, last, client);
    same(news.got, numbers(1, last), mode);
    client.close();
  }),

  async "a silent outage moves nobody off WebSockets, and nothing is missed"(tools) {
    const { at, ask, connect, until, listen, heard, publish } = tools;
    const clients = Array.from({ length: 2 }, () => connect(at.box, hasty));
    const all = [];
    for (const client of clients) all.push(await listen(client, "outage"));
    await publish("outage", "1");
    for (const [i, news] of all.entries()) await heard(news, 1, clients[i]);
    await ask("box?mode=drop");
    for (const client of clients) await until(() => `other transports: ${client.states.slice(-3)}`, () => client.states.some((state) => state.startsWith("connecting sse")));
    await publish("outage", "2");
    await ask("box?mode=pass");
    for (const client of clients) await isOpenBy(tools, client, "websocket");
    await publish("outage", "3");
    for (const [i, news] of all.entries()) {
      await heard(news, 3, clients[i]);
      same(news.got, ["1", "2", "3"], "what came");
      clients[i].close();
    }
  },

  ...each("a connection that is cut in the middle of a frame, nothing twice, nothing in part", ways, async ({ at, ask, connect, listen, heard, publish }, way) => {
    const payloads = numbers(1, 20).map((n) => n.padEnd(30_000, "x"));
    const client = connect(at.box, { transports: [way] });
    const name = `frames ${way}`;
    const news = await listen(client, name);
    await publish(name, "first"); // so that there is a position
    await heard(news, 1, client);
    for (let i = 0; i < payloads.length; i += 4) {
      await ask(`cut-after?bytes=${50_000 + 777 * i}`);
      for (const payload of payloads.slice(i, i + 4)) await publish(name, payload);
      await heard(news, i + 5, client);
    }
    same(news.got.map((data) => data.length), [5, ...payloads.map((data) => data.length)], way);
    same(news.got.slice(1), payloads, way);
    client.close();
  }),

  async "a publisher is told whether its message was published, when the connection dies under it"(tools) {
    const { at, ask, connect, until, listen, heard, publish } = tools;
    const client = connect(at.box, { ...hasty, transports: ["websocket"], publishSeconds: 3 });
    const news = await listen(client, "told");
    await client.publish("told", "1");
    await heard(news, 1, client);
    await ask("box?mode=drop");
    let code;
    await client.publish("told", "2").catch((error) => { code = error.code; });
    same(code, "unreachable", "what it is told");
    await until(() => "it notices", () => client.state !== "open");
    await ask("box?mode=pass");
    await isOpenBy(tools, client, "websocket");
    const { id } = await client.publish("told", "3", { key: "third" });
    same((await client.publish("told", "3", { key: "third" })).id, id, "a repeat has the first one's id");
    const poster = connect(at.direct, { transports: ["sse"] });
    await listen(poster, "told");
    same((await poster.publish("told", "3", { key: "third" })).id, id, "a repeat by POST has it, too");
    await publish("told", "end");
    await until(() => `${news.got}`, () => news.got.at(-1) === "end");
    same(news.got, ["1", "3", "end"], "each once");
    client.close();
  },

  async "who is disconnected by the operator stays away, on every transport"({ at, ask, connect, listen }) {
    for (const way of ways) {
      const client = connect(at.direct, { transports: [way] });
      const news = await listen(client, `gone ${way}`);
      let why;
      client.addEventListener("state", ({ state, code }) => { if (state === "closed") why = code; });
      const left = async () => {
        await ask(`disconnect?channel=${encodeURIComponent(`gone ${way}`)}`); // a poll may be between two
        return client.state === "closed";
      };
      for (let turns = 0; turns < 200 && !await left(); turns++) await new Promise((resolve) => setTimeout(resolve, 100));
      check(client.state === "closed", `${way}: ${client.states.slice(-3)}`);
      same(why, "disconnected", way);
      same(news.state, "closed", way);
    }
  },
};

// browserOnly are steps with the browser's own WebSocket and EventSource.
export const browserOnly = {
  async "EventSource: a payload with NUL arrives"({ at, until, publish }) {
    const events = new EventSource(`${at.direct}/nul`);
    const got = [];
    events.addEventListener("message", ({ data }) => got.push(data));
    events.addEventListener("base64", ({ data }) => got.push(atob(data)));
    await until(() => "it opens", () => events.readyState === EventSource.OPEN);
    const payloads = ["before", "a\0b", "\0", "after"];
    for (const payload of payloads) await publish("nul", payload);
    await until(() => `${JSON.stringify(got)}`, () => got.length === payloads.length);
    same(got, payloads, "what came");
    events.close();
  },

  async "a close that the server begins is a clean one"({ at, ask }) {
    for (const protocols of [[], ["c10m.v1"]]) {
      const socket = new WebSocket(`${at.direct.replace("http", "ws")}/clean`, protocols);
      const closed = new Promise((resolve) => { socket.onclose = resolve; });
      await new Promise((resolve) => { socket.onopen = resolve; });
      await ask("disconnect?channel=clean");
      const { code, wasClean } = await closed;
      same({ code, wasClean }, { code: 4002, wasClean: true }, `the close event of [${protocols}]`);
    }
  },
};
