/**
 * What an attempt or a session comes to, what that says, and what is done next:
 *
 *   another  the next transport is tried at once, but a transport that has worked is tried alone in two rounds first
 *   wait     the same again, after backoff, or after Retry-After
 *   soon     the same again within 2 seconds
 *   token    a new token; a fixed one that is answered with 401 ends the client
 *   refuse   the channel is over, the client goes on
 *   gap      the subscription is told, and goes on
 *   end      the client is over
 *   move     the subscriptions move to the better transport
 *
 * @type {typeof import("../c10m.d.ts").outcomes}
 */
export const outcomes = {
  refused: { when: "a WebSocket is refused, or nobody is there: browsers do not say which", server: "?", network: "?", transport: "suspect", next: "another" },
  silent: { when: "nothing comes in time: no 101, no byte of a stream, no answer", server: "?", network: "?", transport: "suspect", next: "another" },
  mute: { when: "101, and then no first answer in time", server: "?", network: "?", transport: "suspect", next: "another" },
  cut: { when: "101 or 200, and closed before the first answer without the server's word", server: "?", network: "?", transport: "suspect", next: "another" },
  unfit: { when: "an answer that no c10m server gives this transport: 404, 410 to a stream, 426, another protocol or content type, a body unlike its header", server: "up", network: "up", transport: "unfit", next: "another" },
  brief: { when: "three sessions in a row that end within 10 s without the server's word", server: "?", network: "?", transport: "suspect", next: "another" },
  unreachable: { when: "a request fails before it is answered: no transport would find anybody", server: "?", network: "?", transport: "?", next: "wait" },
  offline: { when: "the browser says that it is offline, whatever else was seen", server: "?", network: "down", transport: "?", next: "wait" },
  lost: { when: "a session ends after its first answer without the server's word", server: "?", network: "?", transport: "good", next: "wait" },
  dead: { when: "a session is silent after its first answer: no PONG, heartbeat or answer to a poll", server: "?", network: "?", transport: "good", next: "wait" },
  busy: { when: "408, 429, 5xx, or close 1013", server: "busy", network: "up", transport: "good", next: "wait" },
  closed: { when: "another close code of the server", server: "up", network: "up", transport: "good", next: "wait" },
  drain: { when: "close 1012, or the event drain", server: "restarts", network: "up", transport: "good", next: "soon" },
  missed: { when: "close 4001: messages may be missing, which is told", server: "up", network: "up", transport: "good", next: "soon" },
  token: { when: "401, or close 1008", server: "up", network: "up", transport: "good", next: "token" },
  tokenless: { when: "the function for the token fails, or does not answer in time", server: "?", network: "?", transport: "?", next: "wait" },
  forbidden: { when: "400 or 403", server: "up", network: "up", transport: "good", next: "refuse" },
  disconnected: { when: "close 4002, or 403 with C10m-Close: 4002: the operator wants us gone", server: "up", network: "up", transport: "good", next: "end" },
  gone: { when: "410 to a poll, GAP, or the event gap: the position cannot be continued", server: "up", network: "up", transport: "good", next: "gap" },
  better: { when: "a better transport has its first answer beside a worse one's session", server: "up", network: "up", transport: "good", next: "move" },
};

// closing is what a close code says. Before the first answer, a code that this server
// does not use then is that of something in between.
export const codes = { 1008: "token", 1012: "drain", 1013: "busy", 4001: "missed", 4002: "disconnected" };
export function closing(code, text) { return { outcome: codes[code] ?? "closed", code, reason: text || `closed with ${code}` }; }

// One wording for each kind of gap, whichever transport tells of it.
export const gaps = {
  gone: "messages may be missing: the position cannot be continued",
  unknown: "messages may be missing: there was no position to continue from",
  bus: "messages may be missing: the server has missed some",
  polls: "messages may be missing from now on: the server keeps no history, and polls miss what comes between them",
};
