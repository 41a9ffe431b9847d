import { gaps } from "./outcomes.js";
import { C10mError, C10mEvent, decoder, deferred, encoder, isBehind } from "./shared.js";
import { iteratorMessagesMax } from "./limits.js";

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
export class Feed {
  constructor(core, channel, since) {
    this.core = core;
    this.channel = channel;
    this.name = encodeURIComponent(channel);
    this.position = since;
    this.last = since; // what was handed over, or asked to be left out
    this.state = "connecting";
    this.wasOpen = false; // the server has confirmed it once
    this.isLossy = false; // polls miss what comes between them
    this.asksKept = false; // after a gap
    this.failures = 0; // in a row
    this.public = new Subscription(this);
  }

  get isOver() { return this.state === "refused" || this.state === "closed"; }

  /**
   * @template {keyof import("../c10m.d.ts").SubscriptionEvents} K
   * @param {K} type
   * @param {Omit<import("../c10m.d.ts").SubscriptionEvents[K], keyof Event | "channel">} fields
   */
  dispatch(type, fields) { this.public.dispatchEvent(new C10mEvent(type, { channel: this.channel, ...fields })); }

  // confirm: the server has subscribed us, asked to continue after asked. Its own
  // position is the one behind which messages follow: new to who had none.
  confirm(position, asked) {
    if (this.isOver) return;
    if (asked === undefined) {
      if (this.wasOpen) this.gap(position, gaps.unknown);
      else this.position = position;
    } else if (asked === "first" && this.position === "first" && position !== undefined) this.position = position;
    this.state = "open";
    this.wasOpen = true;
    this.openedAt = this.core.now();
    this.dispatch("open", { position: this.position });
  }

  gap(position, reason, isLasting = false) {
    if (this.isOver) return;
    this.position = position;
    this.dispatch("gap", { position, reason, isLasting });
  }

  // gone is a gap because the position that was asked for is. It returns true if what is
  // kept is to be asked for, once: a server that keeps nothing may say gone to that, too.
  gone(position, asked, keepsNothing) {
    if (this.isOver) return false;
    if (asked === "first" && this.asksKept) {
      this.position = position;
      return this.asksKept = false;
    }
    this.gap(position, gaps.gone);
    if (this.isOver || keepsNothing || this.core.options.afterGap !== "kept") return false;
    this.position = "first";
    return this.asksKept = true;
  }

  // message takes a string, or bytes that may be UTF-8 all the same. Two transports, or
  // what is kept after a gap, bring some twice.
  message(id, payload) {
    if (this.isOver || isBehind(this.last, id)) return;
    this.position = this.last = id;
    this.asksKept = false;
    let data = payload;
    if (typeof payload === "string") {
      if (this.core.options.bytes) data = encoder.encode(payload);
    } else if (!this.core.options.bytes) {
      try { data = decoder.decode(payload); } catch { /* not UTF-8: bytes */ }
    }
    this.dispatch("message", { id, data });
  }

  refuse(fields) { this.core.refuse(this, fields); }

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
