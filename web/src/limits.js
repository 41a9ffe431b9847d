// Limits and defaults. What an option is for is in c10m.d.ts.

export const transports = ["websocket", "sse", "poll"];

export const defaults = {
  transports,
  token: undefined,
  bytes: false,
  queue: undefined,
  afterGap: "new",
  remember: true,
  connectSeconds: 10,
  publishSeconds: 15,
  betterFirstSeconds: 2,
  betterCapSeconds: 600,
  backoffFirstSeconds: 1,
  backoffCapSeconds: 30,
  heartbeatSeconds: 300,
  pongSeconds: 10,
  streamSilenceSeconds: 330, // the server's default heartbeat is 300
  pollSeconds: 30,
  rememberSeconds: 600,
};

// A session that lasted so long was a success, and backoff begins anew; one that
// opens and closes at once is a failure like another.
export const stableSeconds = 10;
// So many sessions in a row that were none make their transport suspect.
export const briefSessions = 3;
// A stream that was heard of within this time is believed when the network changes, and
// a WebSocket within awakeSeconds when a page is shown.
export const freshSeconds = 50;
export const awakeSeconds = 10;
// A timer that is so late belongs to a page that was frozen: what came meanwhile is not
// read yet.
export const frozenSeconds = 5;
// After a calm ending clients come back within this time.
export const drainSeconds = 2;
// Rounds in which a transport that has worked is tried alone: a server that is down
// must not make its clients prefer a worse transport.
export const loyalRounds = 2;
// The function for the token may take so long.
export const tokenSeconds = 30;
// A poll's answer may take so much longer than its wait.
export const pollGraceSeconds = 10;
// An answer of 204 that comes sooner than a poll's wait is followed by a pause, so
// that a proxy that answers by itself makes no loop without end.
export const pollPauseSeconds = 1;
// How often a move to a better transport looks whether it can be made. A message that
// was on its way when the better one was subscribed has come after orderSeconds, if the
// worse one is heard then.
export const moveLookSeconds = 0.1;
export const orderSeconds = 1;
// How long a move waits for that, where a stream's silence has no limit.
export const moveSeconds = 330;
// How long a WebSocket that is tried beside another session may take to open: Firefox
// delays a WebSocket by up to 60 s if some to the same server have failed, and begins that
// anew for each that is given up.
export const besideSeconds = 75;
// Streams are tried beside polls for so many channels: a browser has six connections to a
// host over HTTP/1.1, and publishing needs one.
export const streamsBesideMax = 2;
// What comes by the better transport while it is not moved to.
export const shadowMessagesMax = 1000;
// What an iterator keeps for a loop that is behind; beyond it the loop gets an error.
export const iteratorMessagesMax = 1000;
// What a socket may hold unsent before messages wait in the outbox instead.
export const socketBytesMax = 1 << 20;
// How soon it is looked at again.
export const roomSeconds = 0.05;
// What may wait for its turn to be sent while there is a way, if there is no queue.
export const outboxLimits = { messages: 1000, bytes: 4 << 20, ageSeconds: 30, repeat: false };
