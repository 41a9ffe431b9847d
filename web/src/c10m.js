// c10m.js: the browser's side of c10m, without dependencies; it runs in Node, too.
// Types and the meaning of each option are in c10m.d.ts. The file that a server gives is
// joined from the modules in web/src of its source, in order from here down.
//
// Core holds the subscriptions (Feeds) and what waits to be published (the Outbox).
// Its run is one loop: a round tries the transports in order until one has had a first
// answer, and lasts as long as that session; then comes a pause. A session is a
// SocketSession (one WebSocket that speaks c10m.v1) or a RequestSession (a stream or a
// row of polls for each channel), and neither knows of pauses between sessions. How
// something ended is an object with an outcome, a row of the table below, and a reason.
// While a session is not of the best transport, a WayBack tries a better one beside it.
//
// A feed's position is the id of the last message that was handed over, so that
// whatever breaks in between, the next subscription continues there or is told
// that it cannot.

import { Core } from "./core.js";
import { Subscription } from "./feeds.js";
import { outcomes } from "./outcomes.js";
import { C10mError } from "./shared.js";

export { C10mError, Subscription, outcomes };

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
  publish(channel, data, options) { return this.#core.publish(channel, data, options); }
  close() { this.#core.close(); }
}
