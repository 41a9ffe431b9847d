/*
Package web holds what the server gives to browsers: c10m.js with its types, and
the demo page (only with --demo). The Go part embeds the files and says under which path and content
type each is served; package conn serves them. It is a room of its own because it
is none of the others: nothing here runs in the server.

# c10m.js

One ES module without dependencies and without a build step: the file that is
edited is the file that is served and the file that npm packs. It is therefore
longer than files here otherwise are: modules that import each other would cost
every page further round trips, and cannot be copied as one.

The head of the file says how it is made. What it promises:

  - A message is handed over once and in order, or a gap event says that one may be
    missing. Every new subscription names the position of the last message; without
    a position, coming back is itself a gap.
  - A published message is sent at most once by the module. Over a WebSocket it is
    lost without a word if the connection dies under it, since c10m.v1 answers
    failures only; a POST that nobody answered is told (unreachable) and not
    repeated, queue or not. A browser itself may repeat a request when a connection
    that was kept alive breaks: Chromium does so with polls.
  - What waits is bounded in count, bytes and age, and what is dropped is told.
  - Waits are random between 0 and a window that doubles up to a cap, on top of
    Retry-After. A session that lasted for 10 s begins anew.
  - 401, 429 and 503 are the server's own words: no other transport is tried then.
    If nobody answers, polls are not tried either, and a transport that has worked
    is tried alone twice, so that a server that restarts does not move its clients
    to a worse transport. What worked is preferred for 10 minutes.

Looks wrong, but is deliberate:

  - A browser does not say why a WebSocket was refused; the event stream that is
    tried next is also the way to learn of a 401 or a Retry-After.
  - The first poll does not wait: it says that polls get through, and brings the
    position from which the second one does wait.
  - Two answers of 410 in a row mean that the server keeps no history. Then polls
    go without a position, and a gap that lasts is told once.
  - An event stream has as long for its first byte as a WebSocket has to open: a
    proxy that buffers looks like a server that is slow.
  - In a subscription with since, the position in OK SUB is not taken: what lies
    between is still on its way, and the connection may end before it is here.

# Limits

Streams and polls take a request for each channel, and browsers allow six at once
to a host over HTTP/1.1, publishing included: five channels are what fits without
HTTP/2 in front. A browser's WebSocket shows no pings, so pages ask (PING, after 300
s without a word; heartbeatSeconds: of ten million silent pages that is 33,000 a second). An event stream is believed dead after 330 s without a
byte, which fits the server's default of a heartbeat every 300 s.

# Tests

go test ./web runs all of them.

	test/*.test.mjs     the module against a server, a network and a clock in memory
	                    (fake.mjs), with nothing left to chance
	test/scenario.mjs   the module against real servers, in Node (node.mjs) and in
	                    Chromium (page.html); real_test.go starts, drains and kills
	                    these, network_test.go is the network that can be cut and the
	                    proxies that refuse upgrades and buffer
	demo_test.go        the demo page in Chromium; with -screenshots ../docs/images it
	                    keeps the pictures

scripts/install-test-deps installs Node, Chromium and npm's ws.
*/
package web
