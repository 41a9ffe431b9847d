/*
Package web holds what the server gives to browsers: c10m.js with its types, and
the demo page (only with --demo). The Go part embeds the files and says under which path and content
type each is served; package conn serves them. It is a room of its own because it
is none of the others: nothing here runs in the server.

# c10m.js

One ES module without dependencies, made of the modules in src. join.go puts them
together when a server starts: it takes the imports away, and the exports of all but
src/c10m.js. Comments stay, so what is served can be read, and its stack traces name lines of
it. Nothing generated is in the tree, so nothing there can be stale. Who wants the one
file takes it from a server (/-/c10m.js) or from go run ./web/join; npm pack calls the
latter. Several files in the browser would cost every page further round trips, and cannot
be copied as one. A bundler would do more than this needs, in a form that is harder to read.

	src/c10m.js      the public face; its head says how the rest works together
	src/core.js      the loop of sessions and pauses, requests, tokens, what the page knows
	src/outbox.js    what waits to be published
	src/wayback.js   the better transports, tried beside a worse one
	src/session.js   one way to the server, from its first try to its end:
	src/socket.js    the WebSocket that speaks c10m.v1
	src/requests.js  the streams and the polls
	src/feeds.js     subscriptions
	src/outcomes.js  the table of outcomes, close codes, the words of gaps
	src/shared.js    encodings, errors, events, ids
	src/limits.js    limits and defaults

docs/c10m.js.md says what it does, with the table of outcomes, which is data in the
source: a test brings about each row, and another holds page and source together. What it
promises:

  - A message is handed over once and in order, or a gap event says that one may be
    missing. Every new subscription names the position of the last message; without
    a position, coming back is itself a gap.
  - publish resolves when the server says that the bus has the message, and what nobody
    answered is told (unreachable). Every message has a key, so that a browser that
    repeats a POST by itself, as Chromium does on a kept connection that breaks, doubles
    nothing. The module itself repeats only what was surely not published (Node says when
    there was no connection; a 401, a 429), unless queue.repeat asks for more.
  - What waits is bounded in count, bytes and age, and what is dropped is told.
  - Waits are random between 0 and a window that doubles up to a cap, on top of
    Retry-After. A session that lasted for 10 s begins anew.
  - Every request, and the function for the token, has a deadline. Time is that of
    performance.now; the clock on the wall reads only what other pages or servers wrote
    (localStorage, a date in Retry-After).

Looks wrong, but is deliberate:

  - A browser does not say why a WebSocket was refused; the event stream that is
    tried next is also the way to learn of a 401 or a Retry-After.
  - A session counts when its first answer has come. Without subscriptions that is a
    PONG, so such a client sends one PING.
  - A suspicion against a transport is not kept: in an outage all of them look bad. The
    next that works is taken, and the way back is tried soon.
  - A move to a better transport without history waits until the worse one is heard of,
    up to a heartbeat (5 minutes): the order of what comes by two connections is known no
    sooner.
  - The first poll does not wait: it says that polls get through, and brings the
    position from which the second one does wait.
  - A 410 to a position that the answer before it gave means that the server keeps no
    history, where it does not say so itself (C10m-History). Then polls
    go without a position, and a gap that lasts is told once.
  - An event stream has as long for its first byte as a WebSocket has to open: a
    proxy that buffers looks like a server that is slow.
  - The position in OK SUB is taken where none was known, or with since=first: what lies
    between is still on its way, and the connection may end before it is here.
  - Close 4002 ends the client, with all its subscriptions, though the operator may have
    meant one channel: a WebSocket that is closed has lost them all, and the transports
    do not differ in this.

# Limits

Streams and polls take a request for each channel, and browsers allow six at once
to a host over HTTP/1.1, publishing included: five channels are what fits without
HTTP/2 in front. A browser's WebSocket shows no pings, so pages ask (PING, after 300
s without a word; heartbeatSeconds: of ten million silent pages that is 33,000 a second). An event stream is believed dead after 330 s without a
byte, which fits the server's default of a heartbeat every 300 s.

docs/internals/web.md says how all of it is tested.
*/
package web
