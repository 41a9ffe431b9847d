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
latter.

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

docs/internals/web.md has the modules, what looks wrong but is deliberate, limits, and how all
of it is tested.
*/
package web
