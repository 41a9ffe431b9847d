// A server, a network and a clock in memory, for tests that decide what happens
// when. The server speaks WebSocket with c10m.v1, event streams, polls and POST, as
// far as a client can tell; the real one is in the tests of web_test.go.

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// settle lets everything run that is not waiting for the clock.
export async function settle() {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
}

export class Clock {
  time = 1_000_000;
  wall = 1_700_000_000_000; // when time was 0
  timers = new Map();
  next = 1;
  Date = { now: () => this.wall + this.time };
  performance = { now: () => this.time };
  setTimeout = (callback, ms) => {
    this.timers.set(this.next, { callback, at: this.time + ms });
    return this.next++;
  };
  clearTimeout = (id) => this.timers.delete(id);

  // advance moves the time on, and stops at each timer on the way.
  async advance(seconds) {
    const end = this.time + seconds * 1000;
    await settle();
    for (;;) {
      const [id, first] = [...this.timers].reduce((a, b) => (b[1].at < (a?.[1].at ?? Infinity) ? b : a), undefined) ?? [];
      if (first === undefined || first.at > end) break;
      this.time = Math.max(this.time, first.at);
      this.timers.delete(id);
      first.callback();
      await settle();
    }
    this.time = end;
  }
}

export class Server {
  life = "aaaaaaaa";
  history = 100; // messages of each channel; 0 keeps none
  isDown = false; // nobody answers
  isCut = false; // what is sent goes nowhere, in both directions
  frames101 = "pass"; // or "swallowed", or a close code: what follows a 101
  upgrades = true; // or false, or "silent"
  streams = "ok"; // or "buffered", "refused", "html"
  good = undefined; // the only good token
  refusal = undefined; // { status, headers, body } for everybody
  forbidden = new Set(); // channels
  busy = new Set(); // channels whose SUB is not taken now
  tellsPosition = true; // with a 204, too, though there is no history
  publishing = undefined; // a refusal of POST and PUB
  isMute = false; // what is published is not answered
  keys = new Map(); // what became of what had them
  protocol = "c10m.v1"; // of WebSockets
  tellsFirst = true; // where what follows "first" begins
  says = true; // how many messages it keeps, where a position is gone
  grain = 1 << 20; // bytes that arrive at once in a stream
  requests = []; // what came: "websocket", "sse news", "poll news 30", "post news"
  frames = []; // what came through WebSockets
  published = [];
  #channels = new Map();
  #sockets = new Set();
  #streams = new Set();

  channel(name) {
    if (!this.#channels.has(name)) this.#channels.set(name, { n: 0, log: [], listeners: new Set() });
    return this.#channels.get(name);
  }

  publish(name, payload) {
    const bytes = typeof payload === "string" ? encoder.encode(payload) : payload;
    const channel = this.channel(name);
    const message = { id: `${this.life}-${++channel.n}`, bytes };
    channel.log.push(message);
    if (channel.log.length > this.history) channel.log.shift();
    for (const listener of [...channel.listeners]) listener(message);
    return channel.listeners.size;
  }

  // take publishes what a client says, once for each key.
  take(name, key, bytes) {
    if (!this.keys.has(key)) {
      this.published.push(`${name}=${Buffer.from(bytes)}`);
      const connections = this.publish(name, bytes);
      this.keys.set(key, { connections, id: this.position(name) });
    }
    return this.keys.get(key);
  }

  get streamsOpen() { return this.#streams; }

  position(name) { return `${this.life}-${this.channel(name).n}`; }

  // before is the position before all that is kept.
  before(name) { return this.tellsFirst ? `${this.life}-${this.channel(name).n - this.channel(name).log.length}` : ""; }

  // since returns the messages after a position, undefined if it is gone.
  since(name, position) {
    const { n, log } = this.channel(name);
    if (position === undefined) return [];
    if (position === "first" && this.history > 0) return log;
    const [life, last] = [position.slice(0, 8), Number(position.slice(9))];
    if (this.history === 0 || life !== this.life || last < n - log.length) return undefined;
    return log.slice(log.length - (n - last));
  }

  // restart is another life with nothing of the old one.
  restart(life) {
    this.life = life;
    this.#channels.clear();
    this.close(1006, "");
    this.isDown = false;
  }

  // close ends all connections.
  close(code, reason) {
    for (const socket of [...this.#sockets]) socket.closedByServer(code, reason);
    for (const stream of [...this.#streams]) stream.end(code, reason);
  }

  drain() {
    for (const stream of this.#streams) stream.send("event: drain\nretry: 3000\ndata: server restarts\n\n");
    this.close(1012, "the server restarts");
  }

  get WebSocket() {
    const server = this;
    return class {
      protocol = "";
      bufferedAmount = 0;
      #subscribed = new Map();

      constructor(url, protocols) {
        server.requests.push("websocket");
        this.url = url;
        setImmediate(() => {
          const token = protocols[1] === "c10m.token" ? protocols[2] : undefined;
          if (server.isCut || server.upgrades === "silent") return;
          if (server.isDown || !server.upgrades || server.refusal || server.good && token !== server.good) return this.onclose?.({ code: 1006, reason: "" });
          this.protocol = server.protocol;
          server.#sockets.add(this);
          this.onopen?.();
          if (typeof server.frames101 === "number") this.closedByServer(server.frames101, "");
        });
      }

      say(frame) {
        if (!server.isCut) setImmediate(() => this.onmessage?.({ data: frame }));
      }

      closedByServer(code, reason) {
        this.close();
        if (!server.isCut) setImmediate(() => this.onclose?.({ code, reason }));
      }

      close() {
        server.#sockets.delete(this);
        for (const [name, listener] of this.#subscribed) server.channel(name).listeners.delete(listener);
        this.#subscribed.clear();
      }

      send(data) {
        if (server.isCut || server.frames101 !== "pass" || !server.#sockets.has(this)) return;
        const bytes = typeof data === "string" ? encoder.encode(data) : data;
        const end = bytes.indexOf(10);
        const head = `${Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end))}`;
        server.frames.push(head);
        const [verb, encoded, last] = head.split(" ");
        const name = decodeURIComponent(encoded ?? "");
        if (verb === "PING") this.say("PONG");
        if (verb === "SUB") this.#subscribe(name, encoded, last);
        if (verb === "UNSUB") {
          server.channel(name).listeners.delete(this.#subscribed.get(name));
          this.#subscribed.delete(name);
          this.say(`OK UNSUB ${encoded}`);
        }
        if (verb !== "PUB") return;
        if (server.publishing) return this.say(`ERR PUB ${encoded} ${server.publishing.code ?? "bus_down"} ${last}\nThe bus is down.`);
        const { id } = server.take(name, last, bytes.slice(end + 1));
        if (!server.isMute) this.say(`OK PUB ${encoded} ${last} ${id}`);
      }

      #subscribe(name, encoded, since) {
        if (server.forbidden.has(name)) return this.say(`ERR SUB ${encoded} not_allowed\nNot you.`);
        if (server.busy.has(name)) return this.say(`ERR SUB ${encoded} overload\nLater.`);
        const deliver = ({ id, bytes }) => {
          const head = `MSG ${encoded} ${id}\n`;
          try {
            this.say(head + decoder.decode(bytes));
          } catch {
            this.say(Uint8Array.from([...encoder.encode(head), ...bytes]).buffer);
          }
        };
        const missed = server.since(name, since);
        if (missed === undefined) this.say(`GAP ${encoded} ${server.position(name)}${server.says ? ` ${server.history}` : ""}`);
        const position = since === "first" ? server.before(name) : server.history === 0 ? "" : since === undefined || missed === undefined ? server.position(name) : since;
        this.say(`OK SUB ${encoded} ${position}`.trimEnd());
        for (const message of missed ?? []) deliver(message);
        server.channel(name).listeners.add(deliver);
        this.#subscribed.set(name, deliver);
      }
    };
  }

  fetch = async (url, { method = "GET", headers = {}, body, signal } = {}) => {
    url = new URL(url);
    const name = decodeURIComponent(url.pathname.slice(1));
    const wait = url.searchParams.get("wait");
    const kind = method !== "GET" ? method.toLowerCase() : wait === null ? "sse" : "poll";
    this.requests.push([kind, name, wait].filter((part) => part !== null).join(" "));
    await new Promise(setImmediate);
    if (this.isDown) throw new TypeError("fetch failed");
    const aborted = new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    aborted.catch(() => {});
    if (this.isCut) return aborted;
    if (this.refusal) return new Response(this.refusal.body ?? "no", this.refusal);
    if (this.good && headers.Authorization !== `Bearer ${this.good}`) return new Response("The token has expired.", { status: 401 });
    if (kind === "head") return new Response(null, { headers: { "Content-Type": "text/javascript; charset=utf-8" } });
    if (this.forbidden.has(name)) return new Response("Not you.", { status: 403 });
    const since = url.searchParams.get("since") ?? undefined;
    if (kind === "sse") return this.#stream(name, since, signal);
    if (kind === "poll") return this.#poll(name, since, Number(wait), aborted);
    if (this.publishing) return new Response(this.publishing.body ?? "no", this.publishing);
    const answer = this.take(name, headers["Idempotency-Key"], typeof body === "string" ? encoder.encode(body) : body);
    return this.isMute ? aborted : Response.json(answer);
  };

  #stream(name, since, signal) {
    if (this.streams === "refused") return new Response("no", { status: 426 });
    if (this.streams === "html") return new Response("<p>Welcome to this hotel.</p>", { headers: { "Content-Type": "text/html" } });
    let controller;
    const body = new ReadableStream({ start: (c) => { controller = c; } });
    const stream = {
      send: (text) => {
        if (this.isCut || this.streams === "buffered") return;
        const bytes = typeof text === "string" ? encoder.encode(text) : text;
        for (let at = 0; at < bytes.length; at += this.grain) controller.enqueue(bytes.slice(at, at + this.grain));
      },
      end: (code, reason) => {
        leave();
        if (this.isCut) return;
        if (code !== 1006) stream.send(`event: close\ndata: ${code} ${reason}\n\n`);
        controller.close();
      },
    };
    const deliver = ({ id, bytes }) => {
      let text;
      try { text = decoder.decode(bytes); } catch { /* not UTF-8 */ }
      if (text === undefined || text.includes("\r")) stream.send(`event: base64\nid: ${id}\ndata: ${Buffer.from(bytes).toString("base64")}\n\n`);
      else stream.send(`id: ${id}\n${text.split("\n").map((line) => `data: ${line}\n`).join("")}\n`);
    };
    const leave = () => {
      this.#streams.delete(stream);
      this.channel(name).listeners.delete(deliver);
    };
    signal.addEventListener("abort", () => {
      leave();
      try { controller.error(signal.reason); } catch { /* closed already */ }
    });
    this.#streams.add(stream);
    stream.send("retry: 2000\n\n");
    const missed = this.since(name, since);
    if (missed === undefined) stream.send(`event: gap\nid: ${this.position(name)}\ndata: Messages may be missed.\n\n`);
    if (since === undefined && this.history > 0) stream.send(`id: ${this.position(name)}\n\n`);
    if (since === "first" && this.history > 0 && this.tellsFirst) stream.send(`id: ${this.before(name)}\n\n`);
    for (const message of missed ?? []) deliver(message);
    this.channel(name).listeners.add(deliver);
    return new Response(body, { headers: { "Content-Type": "text/event-stream", ...this.says && { "C10m-History": `${this.history}` } } });
  }

  #answer(name, all) {
    const messages = all.slice(0, 64);
    const position = this.tellsPosition || messages.length > 0 ? { "C10m-Position": messages.at(-1)?.id ?? this.position(name) } : {};
    if (messages.length === 0) return new Response(null, { status: 204, headers: position });
    const index = messages.map(({ id, bytes }) => `${id}:${bytes.length}`).join(",");
    return new Response(Buffer.concat(messages.map(({ bytes }) => bytes)), { headers: { ...position, "C10m-Messages": index } });
  }

  async #poll(name, since, wait, aborted) {
    const missed = this.since(name, since);
    if (missed === undefined) return new Response("The position is gone.", { status: 410, headers: { "C10m-Position": this.position(name), ...this.says && { "C10m-History": `${this.history}` } } });
    if (missed.length > 0 || wait === 0) return this.#answer(name, missed);
    let listener, timer;
    try {
      return await Promise.race([aborted, new Promise((resolve) => {
        listener = (message) => resolve(this.#answer(name, [message]));
        this.channel(name).listeners.add(listener);
        timer = this.clock.setTimeout(() => resolve(this.#answer(name, [])), wait * 1000);
      })]);
    } finally {
      this.channel(name).listeners.delete(listener);
      this.clock.clearTimeout(timer);
    }
  }

  constructor(clock) { this.clock = clock; }
}
