import { bytesOf, newKey, Outbox } from "./outbox.js";
import { WayBack } from "./wayback.js";
import { Session } from "./session.js";
import { SocketSession } from "./socket.js";
import { RequestSession } from "./requests.js";
import { Feed } from "./feeds.js";
import { outcomes } from "./outcomes.js";
import { C10mError, C10mEvent, checkChannel, deferred, encoder } from "./shared.js";
import { awakeSeconds, briefSessions, defaults, drainSeconds, loyalRounds, stableSeconds, tokenSeconds, transports } from "./limits.js";

// Core is the client without its public face.
export class Core {
  feeds = new Map(); // channel -> Feed
  state = "connecting";
  transport = undefined;
  failures = 0; // in a row
  openedAt = undefined;
  betterTries = 0; // of the way back, until the best transport has lasted
  #face;
  #session;
  #token; // of a function, until it is at fault
  #asking; // the function, while it is at it
  #worked; // the transport that was open last, and when it was chosen
  #failedRounds = 0;
  #briefs = 0; // sessions in a row that ended at once, without the server's word
  #suspect; // their transport
  #pause; // the wait between two rounds, which a change of the network ends
  #listeners = [];

  constructor(face, url, options) {
    this.#face = face;
    const known = { ...defaults, WebSocket: globalThis.WebSocket, fetch: globalThis.fetch?.bind(globalThis), clock: globalThis, random: Math.random };
    const o = this.options = { ...known };
    for (const [name, value] of Object.entries(options)) {
      if (!(name in known) || name.endsWith("Seconds") && !(value === undefined || value >= 0)) throw new TypeError(`the option ${name} is wrong`);
      if (value !== undefined) o[name] = value;
    }
    if (o.transports.length === 0 || o.transports.some((kind) => !transports.includes(kind))) throw new TypeError(`transports are ${transports}`);
    if (!["new", "kept"].includes(o.afterGap)) throw new TypeError("afterGap is new or kept");
    const base = new URL(url, globalThis.location?.href);
    base.protocol = base.protocol.replace(/^ws/, "http");
    if (!base.protocol.startsWith("http") || base.search || base.hash) throw new TypeError("the URL is that of a server: http://, https://, ws:// or wss://, without a query");
    this.httpURL = base.href.replace(/\/$/, "");
    this.wsURL = this.httpURL.replace(/^http/, "ws");
    this.outbox = new Outbox(this);
    this.#recall();
    this.#listen();
    this.#run();
  }

  // Time. It goes on evenly, whatever is done to the clock on the wall.
  now() { return this.options.clock.performance.now(); }
  wallClock() { return this.options.clock.Date.now(); }
  later(seconds, callback) { return this.options.clock.setTimeout(callback, Math.ceil(seconds * 1000)); } // not sooner
  cancel(timer) { this.options.clock.clearTimeout(timer); }

  // delay is how many milliseconds to wait after an ending. Jitter is full, so that
  // clients who lost the same server do not come back together. counter is
  // what has failed: the client, a stream, a subscription.
  delay(ending, counter) {
    const { backoffFirstSeconds, backoffCapSeconds, random } = this.options;
    const isCalm = outcomes[ending.outcome].next === "soon";
    if (isCalm || this.now() - counter.openedAt >= stableSeconds * 1000) counter.failures = 0;
    counter.openedAt = undefined;
    let seconds = drainSeconds;
    if (!isCalm) seconds = Math.min(backoffCapSeconds, backoffFirstSeconds * 2 ** counter.failures++);
    return 1000 * ((ending.retryAfter ?? 0) + random() * Math.max(seconds, ending.retrySeconds ?? 0));
  }

  /**
   * @template {keyof import("../c10m.d.ts").ClientEvents} K
   * @param {K} type
   * @param {Omit<import("../c10m.d.ts").ClientEvents[K], keyof Event>} fields
   */
  dispatch(type, fields) { this.#face.dispatchEvent(new C10mEvent(type, fields)); }

  #set(state, fields) {
    this.state = state;
    this.dispatch("state", { state, transport: this.transport, ...fields });
  }

  // Requests.
  urlOf(name) { return `${this.httpURL}/${name}`; }

  // within ends what takes longer; a promise that nobody keeps is left behind.
  async within(seconds, promise, error, abort) {
    const late = deferred();
    const timer = this.later(seconds, () => {
      late.reject(error);
      abort?.abort(error);
    });
    try {
      return await Promise.race([promise, late.promise]);
    } finally {
      this.cancel(timer);
    }
  }

  async fetch(url, init) {
    const token = await this.token();
    const headers = token ? { ...init.headers, Authorization: `Bearer ${token}` } : init.headers;
    return this.options.fetch(url, { ...init, headers, cache: "no-store", credentials: "omit" });
  }

  // exchange is a whole request with its answer, within its time.
  async exchange(name, init, seconds) {
    await this.token(); // has a time of its own
    const abort = new AbortController();
    const whole = async () => {
      const response = await this.fetch(this.urlOf(name), { ...init, signal: abort.signal });
      return { response, text: await response.text() };
    };
    return this.within(seconds, whole(), new C10mError("silent", `no answer within ${seconds} s`), abort);
  }

  async token() {
    const { token } = this.options;
    if (typeof token !== "function") return token;
    if (this.#token !== undefined) return this.#token;
    // Whoever asks meanwhile waits for the same one.
    this.#asking ??= this.within(tokenSeconds, (async () => token())(), new Error(`it was not there within ${tokenSeconds} s`))
      .finally(() => { this.#asking = undefined; });
    try {
      return this.#token = await this.#asking;
    } catch (error) {
      throw new C10mError("tokenless", `there is no token: ${error.message}`);
    }
  }

  forgetToken() { this.#token = undefined; }

  // judge says what is wrong with an answer, undefined if nothing is.
  judge(response, text) {
    const { status, headers } = response;
    if (status === 200 || status === 204) return undefined;
    const reason = text && text.length < 200 ? text.trim() : `the answer was ${status}`;
    if (status === 401) return { outcome: "token", status, reason };
    if (status === 403 && headers.get("C10m-Close") === "4002") return { outcome: "disconnected", reason };
    if (status === 400 || status === 403) return { outcome: "forbidden", reason, refused: status === 400 ? "bad_channel" : "not_allowed" };
    if (status === 408 || status === 429 || status >= 500) return { outcome: "busy", reason, retryAfter: retryAfter(response, this.wallClock()) };
    return { outcome: "unfit", reason };
  }

  // Subscriptions.
  subscribe(channel, { since = undefined } = {}) {
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
      const { next } = outcomes[ending.outcome];
      if (next === "end") return this.close({ code: ending.outcome, reason: ending.reason });
      if (next === "token") {
        this.forgetToken();
        if (typeof this.options.token !== "function" && ending.status === 401) return this.close({ code: "token", reason: ending.reason });
      }
      const wait = this.delay(ending, this);
      this.#set("waiting", { reason: ending.reason, code: ending.code, outcome: ending.outcome, retryInSeconds: wait / 1000 });
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
      this.#set("connecting", ending && { reason: ending.reason, outcome: ending.outcome });
      let token;
      try {
        token = await this.token();
      } catch (error) {
        return { outcome: "tokenless", reason: error.message };
      }
      if (this.state === "closed") return undefined;
      const session = this.#session = this.sessionOf(kind, this.feeds, token);
      ending = await session.opened;
      if (this.state === "closed") return undefined;
      if (ending === undefined) return this.#live(session);
      this.#session = undefined;
      ending = this.#seen(ending);
      if (outcomes[ending.outcome].next !== "another") break;
    }
    this.#failedRounds++;
    // A browser does not say why a WebSocket was refused. If nothing else can ask, it
    // may have been the token.
    if (this.options.transports.join() === "websocket" && this.#failedRounds >= loyalRounds) this.forgetToken();
    return ending;
  }

  sessionOf(kind, feeds, token, connectSeconds = this.options.connectSeconds) {
    return kind === "websocket" ? new SocketSession(this, feeds, token, connectSeconds) : new RequestSession(this, kind, feeds);
  }

  // seen takes what the browser knows of its network into account, if nobody spoke.
  #seen(ending) {
    const isSilent = outcomes[ending.outcome].server === "?" && ending.outcome !== "tokenless";
    return isSilent && globalThis.navigator?.onLine === false ? { ...ending, outcome: "offline" } : ending;
  }

  // order is which transports to try: the one that worked alone at first, then all.
  #order() {
    const kinds = this.options.transports;
    if (this.#suspect) return [...kinds.filter((kind) => kind !== this.#suspect), this.#suspect];
    return this.#worked && this.#failedRounds < loyalRounds ? [this.#worked.kind] : kinds;
  }

  // live lasts as long as the session, or the better one that it moves to, and returns
  // how it ended.
  async #live(session) {
    for (;;) {
      this.#opened(session.kind);
      let wayBack;
      const better = new Promise((resolve) => { wayBack = new WayBack(this, session, resolve); });
      const next = await Promise.race([session.ended, better]);
      const isStable = this.now() - session.openedAt >= stableSeconds * 1000;
      if (isStable && session.kind === this.options.transports[0]) this.betterTries = 0;
      if (!(next instanceof Session)) {
        wayBack.stop();
        this.#session = undefined;
        return this.#counted(session, this.#seen(next), isStable);
      }
      this.#session = next;
      session.leave();
      next.adopt(this.feeds);
      this.transport = next.kind;
      session = next;
    }
  }

  // counted makes the last of some brief sessions one that says something of its transport.
  #counted(session, ending, isStable) {
    const isSilent = ending.outcome === "lost" || ending.outcome === "dead";
    this.#briefs = isSilent && !isStable ? this.#briefs + 1 : 0;
    this.#suspect = undefined;
    if (this.#briefs < briefSessions) return ending;
    this.#briefs = 0;
    this.#suspect = session.kind;
    return { ...ending, outcome: "brief" };
  }

  #opened(kind) {
    this.openedAt = this.now();
    this.#failedRounds = 0;
    this.#suspect = undefined;
    this.#worked = { kind };
    try {
      if (this.options.remember) globalThis.localStorage?.setItem(`c10m ${this.httpURL}`, `${kind} ${this.wallClock()}`);
    } catch { /* a page may be denied it */ }
    this.#set("open");
    this.outbox.pump();
  }

  // recall begins with what worked on the page before. Pages share no clock but that on
  // the wall; where it was set, the best transport is tried first, which does no harm.
  #recall() {
    try {
      const [kind, at] = globalThis.localStorage?.getItem(`c10m ${this.httpURL}`)?.split(" ") ?? [];
      const age = this.wallClock() - Number(at);
      if (this.options.remember && this.options.transports.includes(kind) && age >= 0 && age < this.options.rememberSeconds * 1000) this.#worked = { kind };
    } catch { /* a page may be denied it */ }
  }

  // listen hears of what may have changed while nothing was sent: the network is back, the
  // page is shown again, or it goes on after it was frozen.
  #listen() {
    const { document } = globalThis;
    const look = (seconds) => {
      if (document?.visibilityState === "hidden" && seconds > 0) return;
      if (this.#pause && !this.#pause.isOrdered) this.#pause.resolve();
      this.#session?.check(seconds);
    };
    const add = (target, type, seconds) => {
      const listener = () => look(seconds);
      target?.addEventListener?.(type, listener);
      this.#listeners.push(() => target?.removeEventListener?.(type, listener));
    };
    add(globalThis, "online", 0);
    add(globalThis, "pageshow", awakeSeconds);
    add(document, "visibilitychange", awakeSeconds);
    add(document, "resume", 0);
  }

  // socket is the WebSocket that messages go through, if there is one.
  get socket() { return this.#session instanceof SocketSession && this.#session.isOpen && this.state === "open" ? this.#session : undefined; }

  // postFailed: a POST found nobody.
  postFailed(ending) {
    if (this.#session instanceof RequestSession) this.#session.unreachable(ending);
  }

  close(fields = { code: "closed", reason: "the client was closed" }) {
    if (this.state === "closed") return;
    for (const remove of this.#listeners) remove();
    for (const feed of this.feeds.values()) feed.end("closed", fields);
    this.feeds.clear();
    this.#set("closed", fields);
    this.#session?.end({ outcome: "closed", reason: fields.reason });
    this.#pause?.resolve();
    this.outbox.close();
  }

  publish(channel, data, { key = newKey() } = {}) {
    checkChannel(channel);
    if (!/^[!#-[\]-~]{1,128}$/.test(key)) throw new TypeError("a key is 1 to 128 printable ASCII characters without blanks, quotes and backslashes");
    const payload = typeof data === "string" ? data : bytesOf(data);
    const item = { channel, payload, key, bytes: typeof payload === "string" ? encoder.encode(payload).length : payload.length, at: this.now(), timer: undefined, ...deferred() };
    item.promise.catch(() => {}); // who does not wait for it hears of it by an event
    this.outbox.put(item);
    return item.promise;
  }
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3).
function retryAfter(response, wallClock) {
  const value = response.headers.get("Retry-After");
  if (value === null) return 0;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - wallClock) / 1000;
  return seconds > 0 ? seconds : 0; // a date that is none is NaN
}
