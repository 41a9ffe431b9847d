import { Session } from "./session.js";
import { closing, codes, gaps } from "./outcomes.js";
import { C10mError, encoder } from "./shared.js";
import { frozenSeconds, socketBytesMax } from "./limits.js";

// A SocketSession is one WebSocket that speaks c10m.v1.
export class SocketSession extends Session {
  #socket;
  #timer;
  #asked = new Map(); // channel -> the position that SUB named
  #leaving = new Map(); // channel -> UNSUBs that are not answered yet
  #sent = new Map(); // key -> what was published with it and is not answered
  #isConnected = false; // there was a 101
  #heardAt = 0;
  #pingedAt; // undefined if no answer is due

  constructor(core, feeds, token, connectSeconds) {
    super(core, "websocket", feeds);
    try {
      const { WebSocket } = core.options;
      this.#socket = new WebSocket(core.wsURL + "/", token ? ["c10m.v1", "c10m.token", token] : ["c10m.v1"]);
    } catch (error) {
      this.end({ outcome: "unfit", reason: `no WebSocket: ${error.message}` });
      return;
    }
    this.#socket.binaryType = "arraybuffer";
    this.#within(connectSeconds, { outcome: "silent", reason: "the WebSocket took too long to open" });
    this.#socket.onopen = () => this.#connected();
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onerror = () => {}; // a close follows
    this.#socket.onclose = (event) => this.#closed(event);
  }

  #within(seconds, ending) {
    this.core.cancel(this.#timer);
    this.#timer = this.core.later(seconds, () => this.end(ending));
  }

  #connected() {
    if (this.#socket.protocol !== "c10m.v1") return this.end({ outcome: "unfit", reason: "the server does not speak c10m.v1" });
    this.#isConnected = true;
    this.#within(this.core.options.connectSeconds, { outcome: "mute", reason: "the WebSocket opened, and nothing comes through it" });
    for (const feed of this.feeds.values()) this.subscribe(feed);
    if (this.feeds.size === 0) this.#socket.send("PING"); // for a first answer
  }

  #closed({ code, reason }) {
    if (!this.#isConnected) return this.end({ outcome: "refused", reason: "the WebSocket was refused, or nobody answers" });
    if (code === 1005 || code === 1006 || !this.isOpen && !(code in codes)) {
      return this.end({ outcome: this.isOpen ? "lost" : "cut", code, reason: "the WebSocket ended without a word" });
    }
    const ending = closing(code, reason);
    if (ending.outcome === "missed") for (const feed of this.feeds.values()) feed.gap(feed.position, gaps.bus);
    this.end(ending);
  }

  stop() {
    this.core.cancel(this.#timer);
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
    const unanswered = [...this.#sent.values()];
    this.#sent.clear();
    this.core.outbox.unanswered(unanswered, "the WebSocket ended");
  }

  subscribe(feed) {
    if (!this.#isConnected || this.isOver || feed.isOver) return;
    this.#asked.set(feed.channel, feed.position);
    this.#socket.send(feed.position === undefined ? `SUB ${feed.name}` : `SUB ${feed.name} ${feed.position}`);
  }

  unsubscribe(feed) {
    if (!this.#isConnected || this.isOver) return;
    this.#leaving.set(feed.channel, (this.#leaving.get(feed.channel) ?? 0) + 1);
    this.#socket.send(`UNSUB ${feed.name}`);
  }

  heardAt() { return this.#heardAt; }

  get hasRoom() { return this.#socket.bufferedAmount < socketBytesMax; }

  publish(item) {
    this.#sent.set(item.key, item);
    item.timer = this.core.later(this.core.options.publishSeconds, () => {
      this.#sent.delete(item.key);
      this.core.outbox.unanswered([item], "the server did not answer");
    });
    const head = `PUB ${encodeURIComponent(item.channel)} ${item.key}\n`;
    if (typeof item.payload === "string") return this.#socket.send(head + item.payload);
    const start = encoder.encode(head);
    const frame = new Uint8Array(start.length + item.payload.length);
    frame.set(start);
    frame.set(item.payload, start.length);
    this.#socket.send(frame);
  }

  // watch notices a connection that is dead without a word: scripts do not see the
  // server's pings, so they ask themselves when nothing came for a while.
  #watch() {
    const { heartbeatSeconds, pongSeconds } = this.core.options;
    this.core.cancel(this.#timer);
    if (heartbeatSeconds === 0 && this.#pingedAt === undefined) return;
    const due = this.#pingedAt === undefined ? this.#heardAt + heartbeatSeconds * 1000 : this.#pingedAt + pongSeconds * 1000;
    this.#timer = this.core.later(Math.max(0, due - this.core.now()) / 1000, () => {
      const now = this.core.now();
      if (this.#pingedAt === undefined) {
        if (now - this.#heardAt >= heartbeatSeconds * 1000) this.#ping();
        else this.#watch();
      } else if (now - due < frozenSeconds * 1000) this.end({ outcome: "dead", reason: "the server does not answer" });
      else this.#ping();
    });
  }

  #ping() {
    this.#pingedAt = this.core.now();
    this.#socket.send("PING");
    this.#watch();
  }

  // check asks a connection that may be dead, and was not heard of for so long.
  check(seconds) {
    if (this.isOpen && this.#pingedAt === undefined && this.core.now() - this.#heardAt >= seconds * 1000) this.#ping();
  }

  #receive(data) {
    this.#heardAt = this.core.now();
    const isFirst = !this.isOpen;
    if (isFirst || this.#pingedAt !== undefined) {
      this.#pingedAt = undefined;
      this.#watch();
    }
    const [head, body] = cut(data);
    this.#command(head.split(" "), body);
    if (isFirst && !this.isOver) this.open();
  }

  #command(words, body) {
    const [verb, first, second, third, fourth] = words;
    const channel = decodeURIComponent((verb === "MSG" || verb === "GAP" ? first : second) ?? "");
    const feed = this.#leaving.has(channel) ? undefined : this.feeds.get(channel);
    switch (verb) {
      case "MSG":
        feed?.message(second, body);
        break;
      case "GAP":
        if (!feed?.gone(second, this.#asked.get(channel), third === "0")) break;
        this.unsubscribe(feed);
        this.subscribe(feed);
        break;
      case "OK":
        if (first === "SUB") feed?.confirm(third, this.#asked.get(channel));
        else if (first === "UNSUB") this.#left(channel);
        else this.#answered(third, (item) => item.resolve({ transport: "websocket", ...fourth && { id: fourth } }));
        break;
      case "ERR":
        if (first === "UNSUB") this.#left(channel);
        else if (first === "SUB" && feed) this.#notSubscribed(feed, third, body);
        else if (first === "PUB") this.#notPublished(channel, third, fourth, body);
    }
  }

  #notPublished(channel, code, key, message) {
    const failed = (item) => {
      const error = new C10mError(code, message, { key: item.key });
      return code === "overload" ? this.core.outbox.later(item, 0, error) : item.reject(error);
    };
    this.core.dispatch("error", { command: "PUB", channel, code, message });
    this.#answered(key, failed);
  }

  #answered(key, settle) {
    const item = this.#sent.get(key);
    if (!item) return;
    this.#sent.delete(key);
    this.core.cancel(item.timer);
    settle(item);
  }

  #notSubscribed(feed, code, message) {
    if (code !== "overload" && code !== "bus_down") return feed.refuse({ code, message });
    const again = () => this.feeds.get(feed.channel) === feed && this.subscribe(feed);
    this.core.later(this.core.delay({ outcome: "busy" }, feed) / 1000, again);
  }

  #left(channel) {
    const count = (this.#leaving.get(channel) ?? 1) - 1;
    if (count > 0) this.#leaving.set(channel, count);
    else this.#leaving.delete(channel);
  }
}

/**
 * cut parts the line of a command from what follows it, "" if nothing does.
 *
 * @returns {[string, string | Uint8Array]}
 */
function cut(data) {
  if (typeof data === "string") {
    const at = data.indexOf("\n");
    return at < 0 ? [data, ""] : [data.slice(0, at), data.slice(at + 1)];
  }
  const bytes = new Uint8Array(data);
  const at = bytes.indexOf(10);
  const line = String.fromCharCode(...(at < 0 ? bytes : bytes.subarray(0, at))); // short, and ASCII
  return [line, at < 0 ? "" : bytes.subarray(at + 1)];
}
