import { gaps } from "./outcomes.js";
import { isBehind, placeOf } from "./shared.js";
import { besideSeconds, moveLookSeconds, moveSeconds, orderSeconds, shadowMessagesMax, streamsBesideMax } from "./limits.js";

// A Shadow stands for a Feed in a session that is tried beside another one: it keeps
// what comes until it is known that the feed loses nothing by moving there.
class Shadow {
  messages = [];
  confirmedAt = undefined;
  isGone = false;
  isWrong = false; // refused, or too much of it

  constructor(feed) {
    this.feed = feed;
    this.core = feed.core;
    this.channel = feed.channel;
    this.name = feed.name;
    this.position = this.asked = feed.position;
    this.isWhole = feed.position !== undefined;
    this.failures = 0;
  }

  get isOver() { return this.feed.isOver; }
  confirm(position) {
    this.confirmedAt ??= this.core.now();
    this.place ??= position;
  }
  gap(position) {
    this.isWhole = false;
    this.position = this.place = position;
  }
  gone(position) {
    this.gap(position);
    return false;
  }
  message(id, payload) {
    this.position = id;
    if (this.messages.push([id, payload]) > shadowMessagesMax) this.isWrong = true;
  }
  refuse() { this.isWrong = true; }
  interrupted() {}

  // standing is "ready" if the feed may move, "wrong" if it may not, else "wait". session
  // is the one that it has.
  standing(session) {
    const { feed, messages, place } = this;
    if (feed.isOver) return "ready";
    if (this.isWrong) return "wrong";
    if (this.confirmedAt === undefined) return "wait";
    if (this.isWhole || feed.isLossy) return "ready";
    const [ours, theirs] = [placeOf(feed.position).life, placeOf(messages[0]?.[0] ?? place).life];
    if (ours !== undefined && theirs !== undefined && ours !== theirs) return "wrong"; // another server
    // Where it could not be continued, the other session has to bring what is before.
    if (isBehind(feed.position, place) || session.heardAt(feed.channel) >= this.confirmedAt + orderSeconds * 1000) return "ready";
    return "wait";
  }

  // handOver gives the feed what came meanwhile.
  handOver() {
    if (this.feed.isLossy && !this.isWhole) this.feed.gap(this.place, gaps.unknown);
    this.feed.isLossy = false;
    if (this.feed.state !== "open") this.feed.confirm(this.place, this.asked);
    for (const [id, payload] of this.messages) this.feed.message(id, payload);
  }
}

// A WayBack tries the better transports beside a session, at intervals that grow.
export class WayBack {
  #timer;
  #wake;
  #isOver = false;
  candidate = undefined; // the session that is tried

  // take is called with the session to move to, when it is found.
  constructor(core, session, take) {
    this.core = core;
    this.session = session;
    this.take = take;
    const kinds = core.options.transports;
    this.kinds = kinds.slice(0, kinds.indexOf(session.kind));
    if (this.kinds.length > 0) this.#run();
  }

  stop() {
    this.#isOver = true;
    this.core.cancel(this.#timer);
    this.#wake?.();
    this.candidate?.end({ outcome: "better", reason: "the other session is over" });
  }

  #sleep(seconds) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#timer = this.core.later(seconds, resolve);
    });
  }

  async #run() {
    const { betterFirstSeconds, betterCapSeconds, random } = this.core.options;
    while (!this.#isOver) {
      const seconds = Math.min(betterCapSeconds, betterFirstSeconds * 2 ** this.core.betterTries++);
      await this.#sleep(seconds * (0.5 + random() / 2));
      for (const kind of this.kinds) {
        if (this.#isOver) return;
        if (kind === "sse" && this.core.feeds.size > streamsBesideMax) continue;
        if (await this.#isReady(kind)) return this.take(this.candidate);
        this.candidate?.end({ outcome: "better", reason: "it is not better" });
        this.candidate = undefined;
      }
    }
  }

  // isReady reports whether a transport works, and every subscription may move to it.
  async #isReady(kind) {
    const { core, session } = this;
    const shadows = new Map([...core.feeds].map(([channel, feed]) => [channel, new Shadow(feed)]));
    const token = await core.token().catch(() => undefined);
    if (this.#isOver) return false;
    const candidate = this.candidate = core.sessionOf(kind, shadows, token, Math.max(besideSeconds, core.options.connectSeconds));
    await candidate.opened;
    // A stream that has no heartbeat would keep us here for ever.
    const giveUpAt = core.now() + 1000 * (core.options.streamSilenceSeconds || moveSeconds);
    for (const until = core.now() + core.options.connectSeconds * 1000; !this.#isOver && !candidate.isOver;) {
      const standings = [...shadows.values()].map((shadow) => shadow.standing(session));
      if (standings.includes("wrong")) return false;
      if (!standings.includes("wait")) return true;
      const isUnconfirmed = [...shadows.values()].some((shadow) => !shadow.isOver && shadow.confirmedAt === undefined);
      if (core.now() >= (isUnconfirmed ? until : giveUpAt)) return false;
      await this.#sleep(moveLookSeconds);
    }
    return false;
  }
}
