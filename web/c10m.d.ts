// Types of c10m.js, the browser's side of c10m.

export type Transport = "websocket" | "sse" | "poll";

/** A token, or a function that fetches one: it is asked at first, and anew after a 401 or a close with 1008. */
export type Token = string | (() => string | Promise<string>);

export interface QueueOptions {
  /** Messages that may wait; beyond it the oldest is dropped. Default 1000. */
  messages?: number;
  /** Bytes of payload that may wait; beyond it the oldest are dropped. Default 4 MiB. */
  bytes?: number;
  /** How long one may wait. Default 30. */
  ageSeconds?: number;
}

export interface Options {
  /** Which transports to try, in this order. Default: all. */
  transports?: Transport[];
  token?: Token;
  /** Payloads as Uint8Array always. By default they are strings if they are UTF-8. */
  bytes?: boolean;
  /** Keep what is published while there is no connection, within bounds. Default: off. */
  queue?: QueueOptions;
  /** Keep the transport that worked in localStorage, for the next page. Default true. */
  remember?: boolean;
  /** For how long that transport is tried first. Then a better one is. Default 600. */
  rememberSeconds?: number;
  /** How long a WebSocket may take to open, and a stream to its first byte. Default 10. */
  connectSeconds?: number;
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
  clock?: { Date: { now(): number }; setTimeout(callback: () => void, ms: number): unknown; clearTimeout(timer: unknown): void };
  random?: () => number;
}

/** closed is for good: by close(), or because a fixed token was refused. */
export type State = "connecting" | "open" | "waiting" | "closed";

export interface StateEvent extends Event {
  readonly state: State;
  /** The transport that is open, or was tried last. */
  readonly transport?: Transport;
  /** With waiting and closed: why. */
  readonly reason?: string;
  /** With waiting: the close code, if there was one. With closed: "closed", or "token". */
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
  /** not_allowed, bad_channel, too_big, bus_down, overload, ... */
  readonly code: string;
  readonly message: string;
}

export interface Published {
  /** With "websocket" it was sent, no more: the server answers only failures, by the event error. With "post" the server has published it. */
  transport: "websocket" | "post";
  /** The connections that it goes to. */
  connections?: number;
  id?: string;
}

/**
 * What publish rejects with. code is one of
 * - offline: there is no connection, and no queue
 * - unreachable: nobody answered; it may have been published or not, and is not sent again
 * - count, bytes, age, closed: dropped, as in DropEvent
 * - too_big, not_allowed, bad_channel, overload, bus_down, failed: the server said so
 */
export class C10mError extends Error {
  readonly code: string;
  readonly status?: number;
  readonly retryAfterSeconds?: number;
}

interface ClientEvents {
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
   * Publishes through the WebSocket, or by POST if there is none. Each is sent at most
   * once, and those that go the same way go in order. Throws TypeError.
   */
  publish(channel: string, data: string | ArrayBuffer | ArrayBufferView): Promise<Published>;
  close(): void;
  addEventListener<K extends keyof ClientEvents>(type: K, listener: (event: ClientEvents[K]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
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

interface SubscriptionEvents {
  message: MessageEvent;
  gap: GapEvent;
  open: OpenEvent;
  error: SubscriptionErrorEvent;
  close: Event;
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
}
