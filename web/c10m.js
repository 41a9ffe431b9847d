// c10m.js: the browser's side of c10m, without dependencies; it runs in Node, too.
// Types and the meaning of each option are in c10m.d.ts.
//
// Core holds the subscriptions (Feeds) and what waits to be published. Its run is
// one loop: a round tries the transports in order until one is open and lasts as
// long as that session; then comes a pause. A session is a SocketSession (one
// WebSocket that speaks c10m.v1) or a RequestSession (a stream or a row of polls
// for each channel), and neither knows of pauses between sessions. How something
// ended is an object with a reason and what it says of the next try:
//
//   answered     the server spoke (401, 429, 503): another transport would hear the same
//   unreachable  nobody spoke: another transport would find nobody either
//   calm         the server restarts in good order: no failure
//   auth         the token is at fault
//   refused      this channel is at fault, not the transport
//   retryAfter   seconds that the server asks for
//   code         a close code
//
// A feed's position is the id of the last message that was handed over, so that
// whatever breaks in between, the next subscription continues there or is told
// that it cannot.

const transports = ["websocket", "sse", "poll"];

const defaults = {
  transports,
  token: undefined,
  bytes: false,
  queue: undefined,
  remember: true,
  connectSeconds: 10,
  backoffFirstSeconds: 1,
  backoffCapSeconds: 30,
  heartbeatSeconds: 300,
  pongSeconds: 10,
  streamSilenceSeconds: 330, // the server's default heartbeat is 300
  pollSeconds: 30,
  rememberSeconds: 600,
};

// A session that lasted so long was a success, and backoff begins anew; one that
// opens and closes at once is a failure like another.
const stableSeconds = 10;
// A stream that was heard of within this time is believed when the network changes.
const freshSeconds = 50;
// After a calm ending clients come back within this time.
const drainSeconds = 2;
// Rounds in which a transport that has worked is tried alone: a server that is down
// must not make its clients prefer a worse transport.
const loyalRounds = 2;
// A poll's answer may take so much longer than its wait.
const pollGraceSeconds = 10;
// An answer of 204 that comes sooner than a poll's wait is followed by a pause, so
// that a proxy that answers by itself makes no loop without end.
const pollPauseSeconds = 1;
// What an iterator keeps for a loop that is behind; beyond it the loop gets an error.
const iteratorMessagesMax = 1000;
// What a socket may hold unsent before messages wait in the outbox instead.
const socketBytesMax = 1 << 20;
// How soon it is looked at again.
const roomSeconds = 0.05;
// What may wait for its turn to be sent while there is a way, if there is no queue.
const outboxLimits = { messages: 1000, bytes: 4 << 20, ageSeconds: 30 };

const encoder = new TextEncoder();
// A byte order mark is part of a payload.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What publish rejects with. */
export class C10mError extends Error {
  constructor(code, message, fields) {
    super(message);
    this.name = "C10mError";
    this.code = code;
    Object.assign(this, fields);
  }
}

class C10mEvent extends Event {
  constructor(type, fields) {
    super(type);
    Object.assign(this, fields);
  }
}

function deferred() {
  let resolve, reject;
  const promise = new Promise((a, b) => { resolve = a; reject = b; });
  return { promise, resolve, reject };
}

function closing(code, text) {
  // Both 1012 and 4001 reach everybody, evenly over the server's --drain.
  return { code, reason: text || `closed with ${code}`, calm: code === 1012 || code === 4001, auth: code === 1008 };
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3).
function retryAfter(response, now) {
  const value = response.headers.get("Retry-After");
  if (value === null) return 0;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - now) / 1000;
  return seconds > 0 ? seconds : 0; // a date that is none is NaN
}

// checkChannel refuses what no URL or server takes: . and .. have no URL of their own.
function checkChannel(channel) {
  let bytes = 0;
  try {
    encodeURIComponent(channel);
    bytes = encoder.encode(channel).length;
  } catch { /* half of a surrogate pair is no UTF-8 */ }
  if (typeof channel !== "string" || bytes < 1 || bytes > 255) throw new TypeError("a channel is a string of 1 to 255 bytes of UTF-8");
  if (channel === "." || channel === ".." || channel.startsWith("-/")) throw new TypeError(`${channel} is not a channel`);
}

/** What C10m.subscribe returns. */
export class Subscription extends EventTarget {
  #feed;
  constructor(feed) {
    super();
    this.#feed = feed;
  }
  get channel() { return this.#feed.channel; }
  get position() { return this.#feed.position; }
  get state() { return this.#feed.state; }
  close() { this.#feed.core.unsubscribe(this.#feed); }

  [Symbol.asyncIterator]() {
    const feed = this.#feed;
    const messages = [];
    let taker, overrun = false, isOver = false;
    const wake = () => { taker?.resolve(); taker = undefined; };
    const take = (event) => {
      if (messages.length < iteratorMessagesMax) messages.push(event);
      else overrun = true;
      wake();
    };
    const leave = () => {
      isOver = true;
      this.removeEventListener("message", take);
      this.removeEventListener("close", leave);
      wake();
    };
    this.addEventListener("message", take);
    this.addEventListener("close", leave);
    if (feed.isOver) leave();
    return {
      async next() {
        for (;;) {
          if (messages.length > 0) return { done: false, value: messages.shift() };
          if (overrun) {
            leave();
            throw new C10mError("overrun", `more than ${iteratorMessagesMax} messages came while the loop was busy`);
          }
          if (isOver) return { done: true, value: undefined };
          taker ??= deferred();
          await taker.promise;
        }
      },
      async return() {
        leave();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() { return this; },
    };
  }
}

// A Feed is what the client knows of a subscription.
class Feed {
  constructor(core, channel, since) {
    this.core = core;
    this.channel = channel;
    this.name = encodeURIComponent(channel);
    this.position = since;
    this.state = "connecting";
    this.wasOpen = false; // the server has confirmed it once
    this.failures = 0; // in a row
    this.public = new Subscription(this);
  }

  get isOver() { return this.state === "refused" || this.state === "closed"; }

  dispatch(type, fields) { this.public.dispatchEvent(new C10mEvent(type, { channel: this.channel, ...fields })); }

  // confirm: the server has subscribed us, asked to continue after asked. Its own
  // position then says nothing, because what lies between is still to come.
  confirm(position, asked) {
    if (this.isOver) return;
    this.state = "open";
    if (asked === undefined) {
      if (this.wasOpen) this.gap(position, "there was no position to continue from");
      else this.position = position;
    }
    this.wasOpen = true;
    this.openedAt = this.core.now();
    this.dispatch("open", { position: this.position });
  }

  gap(position, reason, isLasting = false) {
    if (this.isOver) return;
    this.position = position;
    this.dispatch("gap", { position, reason, isLasting });
  }

  // message takes a string, or bytes that may be UTF-8 all the same.
  message(id, payload) {
    if (this.isOver) return;
    this.position = id;
    let data = payload;
    if (typeof payload === "string") {
      if (this.core.options.bytes) data = encoder.encode(payload);
    } else if (!this.core.options.bytes) {
      try { data = decoder.decode(payload); } catch { /* not UTF-8: bytes */ }
    }
    this.dispatch("message", { id, data });
  }

  // interrupted: it will be asked for again.
  interrupted() {
    if (!this.isOver) this.state = "connecting";
  }

  end(state, fields) {
    this.state = state;
    if (state === "refused") this.dispatch("error", fields);
    this.dispatch("close", fields);
  }
}

// A SocketSession is one WebSocket that speaks c10m.v1.
class SocketSession {
  #opened = deferred();
  #ended = deferred();
  #socket;
  #timer;
  #asked = new Map(); // channel -> the position that SUB named
  #leaving = new Map(); // channel -> UNSUBs that are not answered yet
  #heardAt = 0;
  #pingedAt; // undefined if no answer is due

  constructor(core, token) {
    this.core = core;
    this.opened = this.#opened.promise;
    this.ended = this.#ended.promise;
    this.isOpen = false;
    try {
      const { WebSocket } = core.options;
      this.#socket = new WebSocket(core.wsURL + "/", token ? ["c10m.v1", "c10m.token", token] : ["c10m.v1"]);
    } catch (error) {
      this.end({ reason: `no WebSocket: ${error.message}` });
      return;
    }
    this.#socket.binaryType = "arraybuffer";
    this.#timer = core.later(core.options.connectSeconds, () => this.end({ reason: "the WebSocket took too long to open" }));
    this.#socket.onopen = () => this.#open();
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onerror = () => {}; // a close follows
    this.#socket.onclose = (event) => this.#close(event);
  }

  #open() {
    if (this.#socket.protocol !== "c10m.v1") return this.end({ reason: "the server does not speak c10m.v1" });
    this.isOpen = true;
    this.#heardAt = this.core.now();
    this.#watch();
    for (const feed of this.core.feeds.values()) this.subscribe(feed);
    this.#opened.resolve();
  }

  #close(event) {
    if (!this.isOpen) return this.end({ reason: "the WebSocket was refused, or nobody answers" });
    const ending = closing(event.code, event.reason);
    if (event.code === 4001) {
      for (const feed of this.core.feeds.values()) feed.gap(feed.position, ending.reason);
    }
    this.end(ending);
  }

  end(ending) {
    this.isOpen = false;
    this.core.cancel(this.#timer);
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
    for (const feed of this.core.feeds.values()) feed.interrupted();
    this.#opened.resolve(ending);
    this.#ended.resolve(ending);
  }

  subscribe(feed) {
    if (!this.isOpen || feed.isOver) return;
    this.#asked.set(feed.channel, feed.position);
    this.#socket.send(feed.position === undefined ? `SUB ${feed.name}` : `SUB ${feed.name} ${feed.position}`);
  }

  unsubscribe(feed) {
    if (!this.isOpen) return;
    this.#leaving.set(feed.channel, (this.#leaving.get(feed.channel) ?? 0) + 1);
    this.#socket.send(`UNSUB ${feed.name}`);
  }

  get hasRoom() { return this.#socket.bufferedAmount < socketBytesMax; }

  publish(channel, data) {
    const head = `PUB ${encodeURIComponent(channel)}\n`;
    if (typeof data === "string") return this.#socket.send(head + data);
    const start = encoder.encode(head);
    const frame = new Uint8Array(start.length + data.length);
    frame.set(start);
    frame.set(data, start.length);
    this.#socket.send(frame);
  }

  // watch notices a connection that is dead without a word: scripts do not see the
  // server's pings, so they ask themselves when nothing came for a while.
  #watch() {
    const { heartbeatSeconds, pongSeconds } = this.core.options;
    if (heartbeatSeconds === 0) return;
    const due = this.#pingedAt === undefined ? this.#heardAt + heartbeatSeconds * 1000 : this.#pingedAt + pongSeconds * 1000;
    this.core.cancel(this.#timer);
    this.#timer = this.core.later(Math.max(0, due - this.core.now()) / 1000, () => {
      if (this.#pingedAt !== undefined) return this.end({ reason: "the server does not answer" });
      if (this.core.now() - this.#heardAt >= heartbeatSeconds * 1000) this.check();
      else this.#watch();
    });
  }

  check() {
    if (!this.isOpen || this.#pingedAt !== undefined) return;
    this.#pingedAt = this.core.now();
    this.#socket.send("PING");
    this.#watch();
  }

  #receive(data) {
    this.#heardAt = this.core.now();
    if (this.#pingedAt !== undefined) {
      this.#pingedAt = undefined;
      this.#watch();
    }
    const payload = typeof data === "string" ? data : new Uint8Array(data);
    const at = payload.indexOf(typeof data === "string" ? "\n" : 10);
    let head = at < 0 ? payload : payload.slice(0, at);
    if (typeof head !== "string") head = String.fromCharCode(...head); // short, and ASCII
    this.#command(head.split(" "), at < 0 ? "" : typeof data === "string" ? payload.slice(at + 1) : payload.subarray(at + 1));
  }

  #command([verb, first, second, third], body) {
    const { core } = this;
    const channel = decodeURIComponent((verb === "MSG" || verb === "GAP" ? first : second) ?? "");
    const feed = this.#leaving.has(channel) ? undefined : core.feeds.get(channel);
    switch (verb) {
      case "MSG":
        feed?.message(second, body);
        break;
      case "GAP":
        feed?.gap(second, "the position is gone");
        break;
      case "OK":
        if (first === "SUB") feed?.confirm(third, this.#asked.get(channel));
        else this.#left(channel);
        break;
      case "ERR":
        if (first === "UNSUB") this.#left(channel);
        else if (first === "SUB" && feed) this.#notSubscribed(feed, third, body);
        else core.dispatch("error", { command: first, channel, code: third, message: body });
    }
  }

  #notSubscribed(feed, code, message) {
    if (code !== "overload" && code !== "bus_down") return this.core.refuse(feed, { code, message });
    const again = () => this.core.feeds.get(feed.channel) === feed && this.subscribe(feed);
    this.core.later(this.core.delay({}, feed) / 1000, again);
  }

  #left(channel) {
    const count = (this.#leaving.get(channel) ?? 1) - 1;
    if (count > 0) this.#leaving.set(channel, count);
    else this.#leaving.delete(channel);
  }
}

// An EventParser takes the text of an event stream in pieces (WHATWG HTML, 9.2.6)
// and calls back with each block, those without data included.
class EventParser {
  #rest = "";
  #block = {};

  constructor(take) { this.take = take; }

  feed(text) {
    this.#rest += text;
    const line = /\r\n|\n|\r(?!$)/g; // a CR at the end may be half a CRLF
    let start = 0;
    for (let end; (end = line.exec(this.#rest)) !== null; start = line.lastIndex) this.#line(this.#rest.slice(start, end.index));
    this.#rest = this.#rest.slice(start);
  }

  #line(line) {
    if (line === "") {
      const block = this.#block;
      this.#block = {};
      return this.take(block);
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a heartbeat
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#block.data = this.#block.data === undefined ? value : `${this.#block.data}\n${value}`;
    else this.#block[field] = value;
  }
}

// A RequestSession has a stream (sse) or a row of polls for each channel. Each
// recovers by itself as long as another one works; when none does, the session is over.
class RequestSession {
  #opened = deferred();
  #ended = deferred();
  #runners = new Map(); // channel -> what reads it
  #isOver = false;

  constructor(core, kind) {
    this.core = core;
    this.kind = kind;
    this.opened = this.#opened.promise;
    this.ended = this.#ended.promise;
    for (const feed of core.feeds.values()) this.subscribe(feed);
    if (this.#runners.size === 0) this.#probe();
  }

  // probe: without a subscription, see whether somebody is there to publish to.
  async #probe() {
    const signal = AbortSignal.timeout?.(this.core.options.connectSeconds * 1000);
    try {
      const ending = await this.core.judge(await this.core.fetch(this.core.urlOf("-/c10m.js"), { method: "HEAD", signal }));
      if (ending?.answered) return this.end(ending);
      this.#opened.resolve();
    } catch (error) {
      this.end({ reason: error.message, unreachable: true });
    }
  }

  end(ending) {
    this.#isOver = true;
    for (const runner of this.#runners.values()) runner.leave();
    for (const feed of this.core.feeds.values()) feed.interrupted();
    this.#opened.resolve(ending);
    this.#ended.resolve(ending);
  }

  subscribe(feed) {
    if (this.#isOver) return;
    const runner = { isUp: false, isOver: false, request: undefined, timer: undefined, failures: 0, openedAt: undefined };
    runner.leave = () => {
      runner.isOver = true;
      runner.request?.abort();
      this.core.cancel(runner.timer);
    };
    this.#runners.set(feed.channel, runner);
    this.#run(feed, runner);
  }

  unsubscribe(feed) {
    this.#runners.get(feed.channel)?.leave();
    this.#runners.delete(feed.channel);
  }

  // unreachable: a POST found nobody. If no stream or poll has noticed, it is for us to.
  unreachable(ending) {
    if (![...this.#runners.values()].some((runner) => runner.isUp)) this.end(ending);
  }

  // check is called when the network may have changed. A stream that is dead says
  // nothing, so a quiet one is begun anew, which costs a request and no message.
  check() {
    for (const runner of this.#runners.values()) {
      if (this.core.now() - runner.heardAt >= freshSeconds * 1000) runner.request?.abort(new C10mError("silent", "the network has changed"));
    }
  }

  async #run(feed, runner) {
    while (!runner.isOver) {
      const ending = await this.#attempt(feed, runner);
      if (runner.isOver) return;
      runner.isUp = false;
      feed.interrupted();
      if (ending.refused) {
        this.#runners.delete(feed.channel);
        this.#opened.resolve(); // it works, and says no
        return this.core.refuse(feed, { code: ending.refused, message: ending.reason });
      }
      if (ending.code === 4001) feed.gap(feed.position, ending.reason);
      if (![...this.#runners.values()].some((other) => other.isUp)) return this.end(ending);
      if (ending.auth) this.core.forgetToken();
      await new Promise((resolve) => { runner.timer = this.core.later(this.core.delay(ending, runner) / 1000, resolve); });
    }
  }

  // attempt lasts as long as the stream or the row of polls, and returns how it ended.
  async #attempt(feed, runner) {
    runner.isAnswered = false;
    try {
      return await (this.kind === "sse" ? this.#stream(feed, runner) : this.#polls(feed, runner));
    } catch (error) {
      const late = runner.request.signal.reason;
      if (late instanceof C10mError) return { reason: late.message, answered: runner.isUp };
      return { reason: error.message, unreachable: !runner.isAnswered };
    } finally {
      this.core.cancel(runner.timer);
      runner.request?.abort(); // what is left of the body
    }
  }

  #up(feed, runner, position, asked) {
    if (runner.isUp) return;
    runner.isUp = true;
    runner.openedAt = this.core.now();
    feed.confirm(position, asked);
    this.#opened.resolve();
  }

  // patience ends a request that is silent for so long.
  #patience(runner, seconds, message) {
    const { request } = runner;
    runner.heardAt = this.core.now();
    this.core.cancel(runner.timer);
    if (seconds > 0) runner.timer = this.core.later(seconds, () => request.abort(new C10mError("silent", message)));
  }

  async #request(feed, runner, parameters, headers, ...patience) {
    runner.request = new AbortController();
    const url = new URL(this.core.urlOf(feed.name));
    for (const [name, value] of Object.entries(parameters)) if (value !== undefined) url.searchParams.set(name, value);
    this.#patience(runner, ...patience);
    const response = await this.core.fetch(url, { headers, signal: runner.request.signal });
    runner.isAnswered = true;
    return response;
  }

  async #stream(feed, runner) {
    const { connectSeconds, streamSilenceSeconds } = this.core.options;
    const asked = feed.position;
    const response = await this.#request(feed, runner, { since: asked }, { Accept: "text/event-stream" },
      connectSeconds, "the stream stays empty, as behind a proxy that buffers");
    const wrong = await this.core.judge(response);
    if (wrong) return wrong;
    const { body, headers } = response;
    if (!headers.get("Content-Type")?.startsWith("text/event-stream") || !body?.getReader) return { reason: "there is no event stream" };
    let ending = { reason: "the stream ended" };
    const retry = {};
    const parser = new EventParser((block) => {
      if (runner.isOver) return;
      this.#up(feed, runner, undefined, asked);
      if (/^\d+$/.test(block.retry)) retry.retrySeconds = block.retry / 1000;
      ending = this.#event(feed, block) ?? ending;
    });
    const text = new TextDecoder();
    for (const reader = body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return { ...ending, ...retry };
      this.#patience(runner, streamSilenceSeconds, "the stream is silent, without a heartbeat");
      parser.feed(text.decode(value, { stream: true }));
    }
  }

  // event returns how the stream will end, if the event says so.
  #event(feed, { event, id, data }) {
    if (data === undefined) {
      feed.position = id ?? feed.position; // where a new stream begins
      return;
    }
    switch (event) {
      case undefined:
      case "message":
        feed.message(id, data);
        break;
      case "base64":
        feed.message(id, Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
        break;
      case "gap":
        feed.gap(id, data);
        break;
      case "drain":
        return closing(1012, data);
      case "close":
        return closing(parseInt(data, 10), data.replace(/^\d+ /, ""));
    }
  }

  async #polls(feed, runner) {
    const { pollSeconds } = this.core.options;
    let told; // the position that a 410 gave
    let isLive = false; // the server keeps no history: positions are of no use
    for (;;) {
      const asked = isLive ? undefined : feed.position;
      // The first answer comes at once and says that polls get through.
      const wait = runner.isUp ? pollSeconds : 0;
      const since = this.core.now();
      const response = await this.#request(feed, runner, { wait, since: asked }, {}, wait + pollGraceSeconds, "a poll is not answered");
      const { status, headers } = response;
      const position = headers.get("C10m-Position") ?? undefined;
      const wrong = status === 410 ? undefined : await this.core.judge(response);
      if (wrong) return wrong;
      const messages = status === 200 ? unpack(headers, new Uint8Array(await response.arrayBuffer())) : [];
      if (!messages) return { reason: "the answer is not that of a poll" };
      if (runner.isOver) return {};
      if (!isLive && runner.isUp && (asked === undefined && wait > 0 || status === 410 && asked === told)) {
        isLive = true;
        feed.gap(position, "the server keeps no history, so what comes between two polls is missed", true);
      } else if (status === 410) {
        told = position;
        feed.gap(position, "the position is gone");
      }
      this.#up(feed, runner, status === 204 ? position : undefined, asked);
      for (const { id, data } of messages) if (!runner.isOver) feed.message(id, data);
      if (runner.isOver) return {};
      if (status === 204 && wait > 0 && this.core.now() - since < pollPauseSeconds * 1000) {
        await new Promise((resolve) => { runner.timer = this.core.later(pollPauseSeconds, resolve); });
      }
    }
  }
}

// unpack cuts the messages of a poll out of its body, undefined if they do not
// fill it: something on the way has changed it.
function unpack(headers, body) {
  let at = 0;
  const messages = [];
  for (const entry of (headers.get("C10m-Messages") ?? "").split(",")) {
    const [, id, bytes] = /^\s*(\S+):(\d+)\s*$/.exec(entry) ?? [];
    if (id === undefined) return undefined;
    messages.push({ id, data: body.subarray(at, at += Number(bytes)) });
  }
  return at === body.length ? messages : undefined;
}

// Core is the client without its public face.
class Core {
  feeds = new Map(); // channel -> Feed
  state = "connecting";
  transport = undefined;
  failures = 0; // in a row
  openedAt = undefined;
  #face;
  #session;
  #token; // of a function, until it is at fault
  #outbox = [];
  #outboxBytes = 0;
  #isPosting = false;
  #expiry;
  #retry;
  #worked; // the transport that was open last, and when it was chosen
  #failedRounds = 0;
  #pause; // the wait between two rounds, which a change of the network ends

  constructor(face, url, options) {
    this.#face = face;
    const known = { ...defaults, WebSocket: globalThis.WebSocket, fetch: globalThis.fetch?.bind(globalThis), clock: globalThis, random: Math.random };
    const o = this.options = { ...known };
    for (const [name, value] of Object.entries(options)) {
      if (!(name in known) || name.endsWith("Seconds") && !(value === undefined || value >= 0)) throw new TypeError(`the option ${name} is wrong`);
      if (value !== undefined) o[name] = value;
    }
    if (o.transports.length === 0 || o.transports.some((kind) => !transports.includes(kind))) throw new TypeError(`transports are ${transports}`);
    const base = new URL(url, globalThis.location?.href);
    base.protocol = base.protocol.replace(/^ws/, "http");
    if (!base.protocol.startsWith("http") || base.search || base.hash) throw new TypeError("the URL is that of a server: http://, https://, ws:// or wss://, without a query");
    this.httpURL = base.href.replace(/\/$/, "");
    this.wsURL = this.httpURL.replace(/^http/, "ws");
    this.#recall();
    this.online = () => this.#changed();
    globalThis.addEventListener?.("online", this.online);
    this.#run();
  }

  // Time.
  now() { return this.options.clock.Date.now(); }
  later(seconds, callback) { return this.options.clock.setTimeout(callback, seconds * 1000); }
  cancel(timer) { this.options.clock.clearTimeout(timer); }

  // delay is how many milliseconds to wait after an ending. Jitter is full, so that
  // clients who lost the same server do not come back together. counter is
  // what has failed: the client, a stream, a subscription.
  delay(ending, counter) {
    const { backoffFirstSeconds, backoffCapSeconds, random } = this.options;
    if (ending.calm || this.now() - counter.openedAt >= stableSeconds * 1000) counter.failures = 0;
    counter.openedAt = undefined;
    let seconds = drainSeconds;
    if (!ending.calm) seconds = Math.min(backoffCapSeconds, backoffFirstSeconds * 2 ** counter.failures++);
    return 1000 * ((ending.retryAfter ?? 0) + random() * Math.max(seconds, ending.retrySeconds ?? 0));
  }

  dispatch(type, fields) { this.#face.dispatchEvent(new C10mEvent(type, fields)); }

  #set(state, fields) {
    this.state = state;
    this.dispatch("state", { state, transport: this.transport, ...fields });
  }

  // Requests.
  urlOf(name) { return `${this.httpURL}/${name}`; }

  async fetch(url, init) {
    const token = await this.token();
    const headers = token ? { ...init.headers, Authorization: `Bearer ${token}` } : init.headers;
    return this.options.fetch(url, { ...init, headers, cache: "no-store", credentials: "omit" });
  }

  async token() {
    const { token } = this.options;
    return typeof token === "function" ? this.#token ??= await token() : token;
  }

  forgetToken() { this.#token = undefined; }

  // judge says what is wrong with an answer, undefined if nothing is.
  async judge(response) {
    const { status } = response;
    if (status === 200 || status === 204) return undefined;
    const text = await response.text();
    const reason = text && text.length < 200 ? text.trim() : `the answer was ${status}`;
    if (status === 401) return { reason, auth: true, answered: true };
    if (status === 400 || status === 403) return { reason, refused: status === 400 ? "bad_channel" : "not_allowed" };
    if (status === 408 || status === 429 || status >= 500) return { reason, answered: true, retryAfter: retryAfter(response, this.now()) };
    return { reason };
  }

  // Subscriptions.
  subscribe(channel, { since } = {}) {
    checkChannel(channel);
    if (since !== undefined && !/^[\w-]+$/.test(since)) throw new TypeError(`${since} is not a position`);
    if (this.state === "closed") throw new C10mError("closed", "the client is closed");
    if (this.feeds.has(channel)) throw new TypeError(`${channel} is subscribed already`);
    const feed = new Feed(this, channel, since);
    this.feeds.set(channel, feed);
    this.#session?.subscribe(feed);
    return feed.public;
  }

  unsubscribe(feed) {
    if (feed.isOver) return;
    this.feeds.delete(feed.channel);
    feed.end("closed");
    this.#session?.unsubscribe(feed);
  }

  refuse(feed, fields) {
    if (this.feeds.get(feed.channel) === feed) this.feeds.delete(feed.channel);
    feed.end("refused", fields);
  }

  // The loop.
  async #run() {
    await null; // who made us may first subscribe and listen
    while (this.state !== "closed") {
      const ending = await this.#round();
      if (this.state === "closed") return;
      if (ending.auth) {
        this.forgetToken();
        if (typeof this.options.token !== "function" && ending.answered) return this.close({ code: "token", reason: ending.reason });
      }
      const wait = this.delay(ending, this);
      this.#set("waiting", { reason: ending.reason, code: ending.code, retryInSeconds: wait / 1000 });
      const { promise, resolve } = deferred();
      const timer = this.later(wait / 1000, resolve);
      this.#pause = { resolve, isOrdered: ending.retryAfter > 0 };
      await promise;
      this.cancel(timer);
      this.#pause = undefined;
    }
  }

  // round returns how the session ended that it brought about, or why there is none.
  async #round() {
    let ending;
    for (const kind of this.#order()) {
      this.transport = kind;
      this.#set("connecting");
      let token;
      try {
        token = await this.token();
      } catch (error) {
        return { reason: `there is no token: ${error.message}` };
      }
      if (this.state === "closed") return undefined;
      this.#session = kind === "websocket" ? new SocketSession(this, token) : new RequestSession(this, kind);
      ending = await this.#session.opened;
      if (this.state === "closed") return undefined;
      if (ending === undefined) {
        this.#opened(kind);
        ending = await this.#session.ended;
        this.#session = undefined;
        return ending;
      }
      this.#session = undefined;
      if (ending.answered || ending.unreachable) break;
    }
    this.#failedRounds++;
    // A browser does not say why a WebSocket was refused. If nothing else can ask, it
    // may have been the token.
    if (this.options.transports.join() === "websocket" && this.#failedRounds >= loyalRounds) this.forgetToken();
    return ending;
  }

  // order is which transports to try: the one that worked alone at first, then all;
  // if it worked long ago, a better one may be worth a try.
  #order() {
    const kinds = this.options.transports;
    if (!this.#worked || this.now() - this.#worked.at >= this.options.rememberSeconds * 1000) return kinds;
    const { kind } = this.#worked;
    if (this.#failedRounds < loyalRounds) return [kind];
    return kinds;
  }

  #opened(kind) {
    this.openedAt = this.now();
    this.#failedRounds = 0;
    if (this.#worked?.kind !== kind || kind === this.options.transports[0] || this.openedAt - this.#worked.at >= this.options.rememberSeconds * 1000) {
      this.#worked = { kind, at: this.openedAt };
      try {
        if (this.options.remember) globalThis.localStorage?.setItem(`c10m ${this.httpURL}`, `${kind} ${this.openedAt}`);
      } catch { /* a page may be denied it */ }
    }
    this.#set("open");
    this.#pump();
  }

  #recall() {
    try {
      const [kind, at] = globalThis.localStorage?.getItem(`c10m ${this.httpURL}`)?.split(" ") ?? [];
      if (this.options.remember && this.options.transports.includes(kind)) this.#worked = { kind, at: Number(at) };
    } catch { /* a page may be denied it */ }
  }

  // changed: the network has.
  #changed() {
    if (this.#pause && !this.#pause.isOrdered) this.#pause.resolve();
    this.#session?.check();
  }

  close(fields = { code: "closed", reason: "the client was closed" }) {
    if (this.state === "closed") return;
    globalThis.removeEventListener?.("online", this.online);
    for (const feed of this.feeds.values()) feed.end("closed");
    this.feeds.clear();
    this.#set("closed", fields);
    this.#session?.end({ reason: fields.reason });
    this.#pause?.resolve();
    while (this.#outbox.length > 0) this.#drop("closed", "the client was closed");
    this.cancel(this.#expiry);
    this.cancel(this.#retry);
  }

  // Publishing. The outbox is what waits, oldest first.
  publish(channel, data) {
    checkChannel(channel);
    const payload = typeof data === "string" ? data : bytesOf(data);
    const { queue } = this.options;
    const limits = { ...outboxLimits, ...queue };
    const item = { channel, payload, bytes: typeof payload === "string" ? encoder.encode(payload).length : payload.length, at: this.now(), ...deferred() };
    item.promise.catch(() => {}); // who does not wait for it hears of it by an event
    if (this.state === "closed") item.reject(new C10mError("closed", "the client is closed"));
    else if (this.state !== "open" && !queue && !this.#mayPost) item.reject(new C10mError("offline", "there is no connection, and no queue"));
    else if (item.bytes > limits.bytes) item.reject(new C10mError("too_big", `a message of ${item.bytes} bytes does not fit the queue`));
    else {
      this.#outbox.push(item);
      this.#outboxBytes += item.bytes;
      this.#pump();
      while (this.#outbox.length > limits.messages) this.#drop("count", "too many messages wait");
      while (this.#outboxBytes > limits.bytes) this.#drop("bytes", "too many bytes wait");
    }
    return item.promise;
  }

  get #mayPost() { return this.options.transports.some((kind) => kind !== "websocket"); }

  #drop(code, message) {
    const item = this.#take();
    item.reject(new C10mError(code, message));
    this.dispatch("drop", { channel: item.channel, data: item.payload, code });
  }

  #take() {
    const item = this.#outbox.shift();
    this.#outboxBytes -= item.bytes;
    return item;
  }

  // pump sends what it can. It posts one message after the other, because two
  // requests at once have no order.
  async #pump() {
    if (this.#isPosting) return;
    this.#expire();
    while (this.#outbox.length > 0) {
      if (this.#session instanceof SocketSession && this.#session.isOpen) {
        if (!this.#session.hasRoom) {
          this.cancel(this.#retry);
          this.#retry = this.later(roomSeconds, () => this.#pump());
          return;
        }
        const item = this.#take();
        this.#session.publish(item.channel, item.payload);
        item.resolve({ transport: "websocket" });
      } else if (this.#mayPost && (this.state === "open" || !this.options.queue)) {
        this.#isPosting = true;
        await this.#post();
        this.#isPosting = false;
        this.#expire();
      } else return;
    }
  }

  // expire drops what has waited too long, and looks again when the next has.
  #expire() {
    const { ageSeconds } = { ...outboxLimits, ...this.options.queue };
    this.cancel(this.#expiry);
    while (this.#outbox.length > 0 && this.now() - this.#outbox[0].at >= ageSeconds * 1000) this.#drop("age", "it has waited too long");
    if (this.#outbox.length > 0) this.#expiry = this.later(ageSeconds - (this.now() - this.#outbox[0].at) / 1000, () => this.#expire());
  }

  // post sends the oldest message. If nobody answers it is not sent again: it may
  // have been published.
  async #post() {
    const item = this.#take();
    try {
      const response = await this.fetch(this.urlOf(encodeURIComponent(item.channel)), { method: "POST", body: item.payload });
      if (response.ok) return item.resolve({ transport: "post", ...await response.json() });
      const wrong = await this.judge(response);
      if (wrong.auth) this.forgetToken();
      if (response.status === 429 && this.options.queue && this.state !== "closed") {
        this.#outbox.unshift(item);
        this.#outboxBytes += item.bytes;
        await new Promise((resolve) => this.later(Math.max(wrong.retryAfter, this.options.backoffFirstSeconds), resolve));
        return;
      }
      const code = { 413: "too_big", 429: "overload", 503: "bus_down" }[response.status] ?? (wrong.auth ? "not_allowed" : wrong.refused ?? "failed");
      item.reject(new C10mError(code, wrong.reason, { status: response.status, retryAfterSeconds: wrong.retryAfter }));
    } catch (error) {
      if (this.#session instanceof RequestSession) this.#session.unreachable({ reason: error.message, unreachable: true });
      item.reject(new C10mError("unreachable", `it may have been published or not: ${error.message}`));
    }
  }
}

function bytesOf(data) {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0));
  throw new TypeError("a message is a string, an ArrayBuffer or a view of one");
}

/** A connection to one server, with any number of subscriptions. */
export class C10m extends EventTarget {
  #core;
  constructor(url, options = {}) {
    super();
    this.#core = new Core(this, url, options);
  }
  get state() { return this.#core.state; }
  get transport() { return this.#core.transport; }
  subscribe(channel, options) { return this.#core.subscribe(channel, options); }
  publish(channel, data) { return this.#core.publish(channel, data); }
  close() { this.#core.close(); }
}
