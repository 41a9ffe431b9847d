// Types of c10m.js, the browser's side of c10m.

export type Transport = "websocket" | "sse" | "poll";

/** A token, or a function that fetches one, within 30 s: it is asked at first, and anew after a 401 or a close with 1008. */
export type Token = string | (() => string | Promise<string>);

export interface QueueOptions {
  /** Messages that may wait; beyond it the oldest is dropped. Default 1000. */
  messages?: number;
  /** Bytes of payload that may wait; beyond it the oldest are dropped. Default 4 MiB. */
  bytes?: number;
  /** How long one may wait. Default 30. */
  ageSeconds?: number;
  /** Send again, with the same key, what was not answered. One server publishes it once; behind several, or after a restart, it may be heard twice. Default false. */
  repeat?: boolean;
}

export interface PublishOptions {
  /** The server publishes one message for each key of a channel, for five minutes: 1 to 128 printable ASCII characters without blanks, quotes and backslashes. Default: a random one. */
  key?: string;
}

/**
 * What an attempt or a session came to: docs/c10m.js.md has the table, and so has the
 * constant outcomes.
 */
export type Outcome =
  | "refused" | "silent" | "mute" | "cut" | "unfit" | "brief" | "unreachable" | "offline" | "lost" | "dead"
  | "busy" | "closed" | "drain" | "missed" | "token" | "tokenless" | "forbidden" | "disconnected" | "gone" | "better";

export const outcomes: Readonly<Record<Outcome, Readonly<{
  when: string;
  server: string;
  network: string;
  transport: string;
  next: "another" | "wait" | "soon" | "token" | "refuse" | "gap" | "end" | "move";
}>>>;

export interface Options {
  /** Which transports to try, in this order. Default: all. */
  transports?: Transport[];
  token?: Token;
  /** Payloads as Uint8Array always. By default they are strings if they are UTF-8. */
  bytes?: boolean;
  /** Keep what is published while there is no connection, within bounds. Default: off. */
  queue?: QueueOptions;
  /** After a gap, go on with what is published from now on ("new"), or with all that the server keeps of the channel ("kept"): behind several servers that may bring some twice. Default "new". */
  afterGap?: "new" | "kept";
  /** Keep the transport that worked in localStorage, for the next page. Default true. */
  remember?: boolean;
  /** For how long the next page tries that transport first. Default 600. */
  rememberSeconds?: number;
  /** How long a WebSocket may take to open, and then to its first answer, and a stream to its first byte. Default 10. */
  connectSeconds?: number;
  /** How long the answer to a message that is published may take. Default 15. */
  publishSeconds?: number;
  /** With a worse transport, when the better ones are tried beside it; each failure doubles it. Default 2. */
  betterFirstSeconds?: number;
  /** The longest time between two tries. Default 600. */
  betterCapSeconds?: number;
  /** The window of the first wait after a failure; each failure doubles it. The wait is random within it. Default 1. */
  backoffFirstSeconds?: number;
  /** The widest window. Default 30. */
  backoffCapSeconds?: number;
  /** After so long without a word on a WebSocket the server is asked for one. 0 is never. Shorter notices dead connections sooner and costs the server a message each time: at 300, ten million silent pages are 33,000 a second. Default 300. */
  heartbeatSeconds?: number;
  /** How long it may take to answer. Default 10. */
  pongSeconds?: number;
  /** After so long without a byte an event stream is begun anew: longer than the server's --ping-interval. 0 is never. Default 330. */
  streamSilenceSeconds?: number;
  /** How long a poll waits for a message; the server allows up to 120. Default 30. */
  pollSeconds?: number;
  /** A WebSocket class for environments without one (Node before 22: that of npm's ws). */
  WebSocket?: unknown;
  fetch?: typeof fetch;
  /** For tests: where time and chance come from. */
  clock?: { performance: { now(): number }; Date: { now(): number }; setTimeout(callback: () => void, ms: number): unknown; clearTimeout(timer: unknown): void };
  random?: () => number;
}

/** closed is for good: by close(), because a fixed token was refused, or because the operator disconnected the client. */
export type State = "connecting" | "open" | "waiting" | "closed";

export interface StateEvent extends Event {
  readonly state: State;
  /** The transport that is open, or was tried last. */
  readonly transport?: Transport;
  /** With waiting and closed, and with connecting after another transport: why. */
  readonly reason?: string;
  /** With waiting, and with connecting after another transport. */
  readonly outcome?: Outcome;
  /** With waiting: the close code, if there was one. With closed: "closed", "token" or "disconnected". */
  readonly code?: number | string;
  /** With waiting. */
  readonly retryInSeconds?: number;
}

/** A message that was to be published is not: the queue was full (count, bytes), it is too old (age), or the client was closed. */
export interface DropEvent extends Event {
  readonly channel: string;
  readonly data: string | Uint8Array;
  readonly code: "count" | "bytes" | "age" | "closed";
}

/** The server did not do what it was asked through a WebSocket: PUB, above all. */
export interface CommandErrorEvent extends Event {
  readonly command: string;
  readonly channel: string;
  /** not_allowed, bad_channel, too_big, bus_down, unconfirmed, key_reused, overload, ... */
  readonly code: string;
  readonly message: string;
}

/** The bus has the message. */
export interface Published {
  transport: "websocket" | "post";
  /** The connections that it goes to, with "post". */
  connections?: number;
  /** The message's id, if the server knows it. */
  id?: string;
}

/**
 * What publish rejects with. code is one of
 * - offline: there is no connection, and no queue
 * - unreachable: nobody answered in time; it may have been published or not (where it surely was not, in Node, the queue keeps it)
 * - unconfirmed: the bus did not answer the server; it may have been published or not
 * - no_token: the function for the token failed; it was not sent
 * - count, bytes, age, closed: dropped, as in DropEvent
 * - too_big, not_allowed, bad_channel, overload, bus_down, key_reused, failed: the server said so
 */
export class C10mError extends Error {
  readonly code: string;
  readonly status?: number;
  readonly retryAfterSeconds?: number;
  /** The message's key, with which it may be published again. */
  readonly key?: string;
  constructor(code: string, message: string, fields?: { status?: number; retryAfterSeconds?: number; key?: string });
}

export interface ClientEvents {
  state: StateEvent;
  drop: DropEvent;
  error: CommandErrorEvent;
}

/** A connection to one server. It connects by itself, and again whenever it has to. */
export class C10m extends EventTarget {
  /** url is that of the server, with http, https, ws or wss, and relative to the page if need be. Throws TypeError. */
  constructor(url: string | URL, options?: Options);
  readonly state: State;
  readonly transport?: Transport;
  /**
   * Subscribes. Once for each channel: throws TypeError if it is subscribed already, or
   * if it is no channel (1 to 255 bytes of UTF-8). since continues after the message
   * with this id; "first" begins with all that the server keeps.
   */
  subscribe(channel: string, options?: { since?: string }): Subscription;
  /**
   * Publishes through the WebSocket, or by POST if there is none, and resolves when the
   * server says that the bus has it. Those that go the same way go in order. Throws TypeError.
   */
  publish(channel: string, data: string | ArrayBuffer | ArrayBufferView, options?: PublishOptions): Promise<Published>;
  close(): void;
  addEventListener<K extends keyof ClientEvents>(type: K, listener: (event: ClientEvents[K]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof ClientEvents>(type: K, listener: (event: ClientEvents[K]) => void, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

export interface MessageEvent extends Event {
  readonly channel: string;
  /** The message's id, and the position after it. */
  readonly id: string;
  readonly data: string | Uint8Array;
}

/** Messages may be missing before the next one. */
export interface GapEvent extends Event {
  readonly channel: string;
  /** Where it goes on, if that is known. */
  readonly position?: string;
  readonly reason: string;
  /** Not once but from now on: polls of a server without history miss what comes between them. */
  readonly isLasting: boolean;
}

export interface OpenEvent extends Event {
  readonly channel: string;
  readonly position?: string;
}

/** The server refuses this subscription: not_allowed, bad_channel, too_many. It is over. */
export interface SubscriptionErrorEvent extends Event {
  readonly channel: string;
  readonly code: string;
  readonly message: string;
}

/** The subscription is over: by close(), or as the error before it says, or because the client is closed. */
export interface SubscriptionCloseEvent extends Event {
  readonly channel: string;
  /** Of the error, or of the client's state. */
  readonly code?: string;
  /** With an error. */
  readonly message?: string;
  /** Why the client is closed. */
  readonly reason?: string;
}

export interface SubscriptionEvents {
  message: MessageEvent;
  gap: GapEvent;
  open: OpenEvent;
  error: SubscriptionErrorEvent;
  close: SubscriptionCloseEvent;
}

/**
 * A subscription lives until it is closed or refused, over any number of connections.
 * A loop over it (for await) gets the messages that come from its beginning on. It
 * may be 1000 behind; then it gets an error (overrun). Gaps are events only.
 */
export class Subscription extends EventTarget implements AsyncIterable<MessageEvent> {
  private constructor();
  readonly channel: string;
  /** The id of the last message, or where the server said that we are. */
  readonly position?: string;
  readonly state: "connecting" | "open" | "refused" | "closed";
  close(): void;
  [Symbol.asyncIterator](): AsyncIterableIterator<MessageEvent>;
  addEventListener<K extends keyof SubscriptionEvents>(type: K, listener: (event: SubscriptionEvents[K]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof SubscriptionEvents>(type: K, listener: (event: SubscriptionEvents[K]) => void, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}
