import { deferred } from "./shared.js";

// A Session is one way to the server, from its first try to its end. opened comes with
// the first answer (undefined) or says how it ended before; ended says how it ended.
// feeds are those that it serves: those of the client, or the shadows of them.
export class Session {
  #opened = deferred();
  #ended = deferred();
  isOpen = false; // it has had its first answer
  isOver = false;
  openedAt = undefined;

  constructor(core, kind, feeds) {
    this.core = core;
    this.kind = kind;
    this.feeds = feeds;
    this.opened = this.#opened.promise;
    this.ended = this.#ended.promise;
  }

  // What each kind of session does in its way: stop is the last that is called.
  subscribe(feed) {}
  unsubscribe(feed) {}
  stop() {}

  open() {
    this.isOpen = true;
    this.openedAt ??= this.core.now();
    this.#opened.resolve();
  }

  end(ending) {
    if (this.isOver) return;
    this.isOver = true;
    this.isOpen = false;
    this.stop();
    for (const feed of this.feeds.values()) feed.interrupted();
    this.#opened.resolve(ending);
    this.#ended.resolve(ending);
  }

  // leave ends it when its feeds have moved to another one.
  leave() {
    this.feeds = new Map();
    this.end({ outcome: "better", reason: "a better transport works" });
  }

  // adopt goes on with the client's own feeds in place of their shadows.
  adopt(feeds) {
    const shadows = this.feeds;
    this.feeds = feeds;
    for (const shadow of shadows.values()) {
      if (feeds.get(shadow.channel) !== shadow.feed) this.unsubscribe(shadow);
      else shadow.handOver();
    }
    for (const feed of [...feeds.values()]) if (shadows.get(feed.channel)?.feed !== feed) this.subscribe(feed);
  }
}
