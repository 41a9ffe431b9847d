import { C10mError, failure } from "./shared.js";
import { outboxLimits, roomSeconds } from "./limits.js";

// The Outbox is what waits to be published, oldest first, and what was sent and is not
// answered. What goes through a WebSocket does not wait for a POST.
export class Outbox {
  #waiting = [];
  #bytes = 0;
  #posting = undefined; // one at a time: two requests at once have no order
  #notBefore = 0; // a time for the next
  #expiry;
  #retry;

  constructor(core) {
    this.core = core;
    this.limits = { ...outboxLimits, ...core.options.queue };
  }

  get #mayPost() { return this.core.options.transports.some((kind) => kind !== "websocket"); }
  get #mayWait() { return this.core.options.queue && this.core.state !== "closed"; }

  put(item) {
    const { core, limits } = this;
    if (core.state === "closed") item.reject(new C10mError("closed", "the client is closed"));
    else if (core.state !== "open" && !core.options.queue && !this.#mayPost) item.reject(new C10mError("offline", "there is no connection, and no queue"));
    else if (item.bytes > limits.bytes) item.reject(new C10mError("too_big", `a message of ${item.bytes} bytes does not fit the queue`));
    else {
      this.#waiting.push(item);
      this.#bytes += item.bytes;
      this.pump();
      while (this.#waiting.length > limits.messages) this.#drop("count", "too many messages wait");
      while (this.#bytes > limits.bytes) this.#drop("bytes", "too many bytes wait");
    }
  }

  #take() {
    const item = this.#waiting.shift();
    this.#bytes -= item.bytes;
    return item;
  }

  #drop(code, message) {
    const item = this.#take();
    item.reject(new C10mError(code, message, { key: item.key }));
    this.core.dispatch("drop", { channel: item.channel, data: item.payload, code });
  }

  // pump sends what it can.
  pump() {
    const { core } = this;
    this.#expire();
    core.cancel(this.#retry);
    while (this.#waiting.length > 0) {
      const wait = this.#notBefore - core.now();
      if (wait > 0) return this.#pumpIn(wait / 1000);
      const socket = core.socket;
      if (socket) {
        if (!socket.hasRoom) return this.#pumpIn(roomSeconds);
        socket.publish(this.#take());
      } else if (!this.#posting && this.#mayPost && (core.state === "open" || !core.options.queue)) this.#post(this.#take());
      else return;
    }
  }

  #pumpIn(seconds) { this.#retry = this.core.later(seconds, () => this.pump()); }

  // expire drops what has waited too long, and looks again when the next has.
  #expire() {
    const { core, limits } = this;
    core.cancel(this.#expiry);
    const left = () => limits.ageSeconds - (core.now() - this.#waiting[0].at) / 1000;
    while (this.#waiting.length > 0 && left() <= 0) this.#drop("age", "it has waited too long");
    if (this.#waiting.length > 0) this.#expiry = core.later(left(), () => this.#expire());
  }

  // putBack makes messages that wait again the next ones.
  #putBack(items, seconds) {
    this.#waiting.unshift(...items);
    for (const item of items) this.#bytes += item.bytes;
    if (seconds > 0) this.#notBefore = this.core.now() + seconds * 1000;
    this.pump();
  }

  // later is for a message that was surely not published.
  later(item, seconds, error) {
    if (this.#mayWait) this.#putBack([item], Math.max(seconds, this.core.options.backoffFirstSeconds));
    else item.reject(error);
  }

  // unanswered is for messages that may have been published or not. The server knows
  // their keys, if it is the same server: so they are sent again if the page wants that.
  unanswered(items, why) {
    for (const item of items) this.core.cancel(item.timer);
    if (this.limits.repeat && this.#mayWait) return items.length > 0 && this.#putBack(items, 0);
    for (const item of items) item.reject(new C10mError("unreachable", `it may have been published or not: ${why}`, { key: item.key }));
  }

  async #post(item) {
    this.#posting = item;
    try {
      await this.#posted(item);
    } catch (error) {
      const ending = { outcome: error.code === "silent" ? "dead" : "unreachable", reason: failure(error) };
      if (error.code === "tokenless") this.later(item, 0, new C10mError("no_token", error.message, { key: item.key }));
      else if (neverConnected(error)) this.later(item, 0, new C10mError("unreachable", `it was not published: ${failure(error)}`, { key: item.key }));
      else this.unanswered([item], failure(error));
      if (error.code !== "tokenless") this.core.postFailed(ending);
    }
    this.#posting = undefined;
    this.pump();
  }

  async #posted(item) {
    const { core } = this;
    const name = encodeURIComponent(item.channel);
    const init = { method: "POST", body: item.payload, headers: { "Idempotency-Key": item.key } };
    const ask = () => core.exchange(name, init, core.options.publishSeconds);
    let { response, text } = await ask();
    if (response.status === 401) { // nothing was published
      core.forgetToken();
      if (typeof core.options.token === "function") ({ response, text } = await ask());
    }
    if (response.ok) return item.resolve({ transport: "post", ...JSON.parse(text) });
    const wrong = core.judge(response, text);
    const code = { 401: "not_allowed", 413: "too_big", 422: "key_reused", 429: "overload", 503: "bus_down" }[response.status] ?? wrong.refused ?? "failed";
    const error = new C10mError(code, wrong.reason, { status: response.status, retryAfterSeconds: wrong.retryAfter, key: item.key });
    if (response.status === 429) return this.later(item, wrong.retryAfter, error);
    item.reject(error);
  }

  close() {
    while (this.#waiting.length > 0) this.#drop("closed", "the client was closed");
    this.core.cancel(this.#expiry);
    this.core.cancel(this.#retry);
  }
}

// neverConnected: the request cannot have been sent. Node says so of a connection that
// was not made (of each address, where a name has several); a browser says nothing.
function neverConnected({ cause }) {
  return [cause, ...(cause?.errors ?? [])].some((each) => each?.syscall === "connect" || each?.syscall === "getaddrinfo");
}

export function bytesOf(data) {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0));
  throw new TypeError("a message is a string, an ArrayBuffer or a view of one");
}

// Keys of messages: nobody guesses one, or has it twice.
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
