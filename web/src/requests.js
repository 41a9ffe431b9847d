import { Session } from "./session.js";
import { closing, gaps, outcomes } from "./outcomes.js";
import { C10mError, failure } from "./shared.js";
import { freshSeconds, pollGraceSeconds, pollPauseSeconds } from "./limits.js";

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
export class RequestSession extends Session {
  #runners = new Map(); // channel -> what reads it

  constructor(core, kind, feeds) {
    super(core, kind, feeds);
    for (const feed of feeds.values()) this.subscribe(feed);
    if (this.#runners.size === 0) this.#probe();
  }

  // probe: without a subscription, see whether somebody is there to publish to.
  async #probe() {
    try {
      const { response, text } = await this.core.exchange("-/c10m.js", { method: "HEAD" }, this.core.options.connectSeconds);
      const wrong = this.core.judge(response, text);
      if (wrong && outcomes[wrong.outcome].next !== "refuse") return this.end(wrong);
      if (!response.headers.get("Content-Type")?.startsWith("text/javascript")) return this.end({ outcome: "unfit", reason: "the answer is not that of a c10m server" });
      this.open();
    } catch (error) {
      this.end({ outcome: error.code === "silent" ? "silent" : "unreachable", reason: failure(error) });
    }
  }

  stop() {
    for (const runner of this.#runners.values()) runner.leave();
  }

  subscribe(feed) {
    if (this.isOver) return;
    // heardAt is when its request began or bytes came last, bytesAt the latter alone.
    const runner = { feed, isUp: false, isOver: false, request: undefined, timer: undefined, failures: 0, openedAt: undefined, heardAt: 0, bytesAt: 0 };
    runner.leave = () => {
      runner.isOver = true;
      runner.request?.abort();
      this.core.cancel(runner.timer);
      runner.wake?.();
    };
    this.#runners.set(feed.channel, runner);
    this.#run(runner);
  }

  unsubscribe(feed) {
    this.#runners.get(feed.channel)?.leave();
    this.#runners.delete(feed.channel);
  }

  adopt(feeds) {
    for (const [channel, runner] of this.#runners) runner.feed = feeds.get(channel) ?? runner.feed;
    super.adopt(feeds);
  }

  heardAt(channel) { return this.#runners.get(channel)?.bytesAt ?? 0; }

  // unreachable: a POST found nobody. If no stream or poll has noticed, it is for us to.
  unreachable(ending) {
    if (![...this.#runners.values()].some((runner) => runner.isUp)) this.end(ending);
  }

  // check is called when the network may have changed. A stream that is dead says
  // nothing, so a quiet one is begun anew, which costs a request and no message.
  check() {
    for (const runner of this.#runners.values()) {
      if (this.core.now() - runner.heardAt >= freshSeconds * 1000) runner.request?.abort(new C10mError("silent", "the network may have changed"));
    }
  }

  async #run(runner) {
    while (!runner.isOver) {
      const ending = await this.#attempt(runner);
      if (runner.isOver) return;
      const { next } = outcomes[ending.outcome];
      if (next === "gap") continue; // at once
      runner.isUp = false;
      runner.feed.interrupted();
      if (next === "refuse") {
        this.#runners.delete(runner.feed.channel);
        this.open(); // it works, and says no
        return runner.feed.refuse({ code: ending.refused, message: ending.reason });
      }
      if (ending.outcome === "missed") runner.feed.gap(runner.feed.position, gaps.bus);
      if (next === "end" || ![...this.#runners.values()].some((other) => other.isUp)) return this.end(ending);
      if (next === "token") this.core.forgetToken();
      await this.#rest(runner, this.core.delay(ending, runner) / 1000);
    }
  }

  async #rest(runner, seconds) {
    this.core.cancel(runner.timer);
    await new Promise((resolve) => {
      runner.wake = resolve;
      runner.timer = this.core.later(seconds, resolve);
    });
  }

  // attempt lasts as long as the stream or the row of polls, and returns how it ended.
  async #attempt(runner) {
    runner.isAnswered = false;
    try {
      return await (this.kind === "sse" ? this.#stream(runner) : this.#polls(runner));
    } catch (error) {
      if (error.code === "tokenless") return { outcome: "tokenless", reason: error.message };
      const late = runner.request?.signal.reason;
      if (late instanceof C10mError) return { outcome: runner.isUp ? "dead" : "silent", reason: late.message };
      return { outcome: runner.isUp ? "lost" : runner.isAnswered ? "cut" : "unreachable", reason: failure(error) };
    } finally {
      this.core.cancel(runner.timer);
      runner.request?.abort(); // what is left of the body
    }
  }

  #up(runner, position, asked) {
    if (runner.isUp) return;
    runner.isUp = true;
    runner.openedAt = this.core.now();
    runner.feed.confirm(position, asked);
    this.open();
  }

  // patience ends a request that is silent for so long.
  #patience(runner, seconds, message) {
    const { request } = runner;
    runner.heardAt = this.core.now();
    this.core.cancel(runner.timer);
    if (seconds > 0) runner.timer = this.core.later(seconds, () => request.abort(new C10mError("silent", message)));
  }

  async #request(runner, parameters, headers, ...patience) {
    const request = runner.request = new AbortController();
    const url = new URL(this.core.urlOf(runner.feed.name));
    for (const [name, value] of Object.entries(parameters)) if (value !== undefined) url.searchParams.set(name, value);
    this.#patience(runner, ...patience);
    const response = await this.core.fetch(url, { headers, signal: request.signal });
    runner.isAnswered = true;
    return response;
  }

  async #stream(runner) {
    const { connectSeconds, streamSilenceSeconds } = this.core.options;
    const asked = runner.feed.position;
    const response = await this.#request(runner, { since: asked }, { Accept: "text/event-stream" },
      connectSeconds, "the stream stays empty, as behind a proxy that buffers");
    const wrong = this.core.judge(response, response.status === 200 ? "" : await response.text());
    if (wrong) return wrong;
    const { body, headers } = response;
    if (!headers.get("Content-Type")?.startsWith("text/event-stream") || !body?.getReader) return { outcome: "unfit", reason: "there is no event stream" };
    let ending;
    const retry = {};
    const parser = new EventParser((block) => {
      if (runner.isOver || ending?.outcome === "gone") return;
      if (block.event !== "gap") this.#up(runner, undefined, asked);
      if (/^\d+$/.test(block.retry)) retry.retrySeconds = block.retry / 1000;
      ending = this.#event(runner.feed, block, asked, keepsNothing(headers)) ?? ending;
    });
    const text = new TextDecoder();
    for (const reader = body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return { outcome: runner.isUp ? "lost" : "cut", reason: "the stream ended", ...ending, ...retry };
      this.#patience(runner, streamSilenceSeconds, "the stream is silent, without a heartbeat");
      runner.bytesAt = runner.heardAt;
      parser.feed(text.decode(value, { stream: true }));
      if (ending?.outcome === "gone") return ending;
    }
  }

  // event returns how the stream will end, if the event says so.
  #event(feed, { event, id, data }, asked, keepsNothing) {
    if (data === undefined) {
      if (id !== undefined) feed.position = id; // where a new stream begins
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
        if (feed.gone(id, asked, keepsNothing)) return { outcome: "gone", reason: data };
        break;
      case "drain":
        return closing(1012, data);
      case "close":
        return closing(parseInt(data, 10), data.replace(/^\d+ /, ""));
    }
  }

  async #polls(runner) {
    const { pollSeconds } = this.core.options;
    let told; // the position that the answer before this one gave with 410
    let isLive = false; // the server keeps no history: positions are of no use
    for (;;) {
      const asked = isLive ? undefined : runner.feed.position;
      // The first answer comes at once and says that polls get through.
      const wait = runner.isUp ? pollSeconds : 0;
      const since = this.core.now();
      const response = await this.#request(runner, { wait, since: asked }, {}, wait + pollGraceSeconds, "a poll is not answered");
      const { status, headers } = response;
      const body = status === 204 ? new Uint8Array() : new Uint8Array(await response.arrayBuffer());
      const wrong = status === 410 ? undefined : this.core.judge(response, status === 200 ? "" : new TextDecoder().decode(body));
      if (wrong) return wrong;
      const messages = status === 200 ? unpack(headers, body) : [];
      if (!messages) return { outcome: "unfit", reason: "the answer is not that of a poll" };
      if (runner.isOver) return undefined;
      const { feed } = runner;
      runner.bytesAt = this.core.now();
      const position = headers.get("C10m-Position") ?? undefined;
      // A position that was given just now is gone only where none is kept.
      const isFresh = asked !== undefined && asked === told;
      told = status === 410 ? position : undefined;
      if (!isLive && (keepsNothing(headers) ?? (status === 410 && isFresh || runner.isUp && asked === undefined && wait > 0))) {
        isLive = feed.isLossy = true;
        feed.gap(position, gaps.polls, true);
      } else if (status === 410) feed.gone(position, asked, keepsNothing(headers));
      this.#up(runner, status === 204 ? position : undefined, status === 410 ? feed.position : asked);
      for (const { id, data } of messages) if (!runner.isOver) feed.message(id, data);
      if (status === 204 && asked === "first" && position !== undefined) feed.position = position;
      if (runner.isOver) return undefined;
      if (status === 204 && wait > 0 && this.core.now() - since < pollPauseSeconds * 1000) {
        await this.#rest(runner, pollPauseSeconds);
        if (runner.isOver) return undefined;
      }
    }
  }
}

// keepsNothing reads how many messages of a channel the server keeps, if it says so.
function keepsNothing(headers) {
  const history = headers.get("C10m-History");
  return history === null ? undefined : Number(history) === 0;
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
