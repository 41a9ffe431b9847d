/*
Package wire holds the codecs of what clients speak. They know bytes, and no server:
no socket, no session, no configuration.

Package wiretest is the clients' side of it all, for tests.

# The head of a request

A Head is parser and result in one. Parse is handed all that came of a request so far
and goes on where it stopped, so each byte is looked at once, however the head is cut.
It keeps offsets of 16 bits and lends slices; it allocates nothing, and a head has
HeadBytesMax bytes at most. Its answer does not depend on the cuts: the first fault in
the order of bytes is the one.

There is one strictness, for every request: what a proxy in front could read in
another way is refused, be it an upgrade or not. A recipient may repair some of it (bare line feeds,
RFC 9112, 2.2; equal lengths, 6.3; folded lines, 5.2); here nothing is
repaired. What RFC 9110 and 9112 have a server accept, it does: an empty line before
the request, targets in absolute form, HTTP/1.0, a minor version that is still to be
made, lists over several lines, empty members of lists.

Several lines of a field are one list.

# Frames

An Inbound takes what a client says over a WebSocket, cut anywhere, unmasks it in place
and tells a Sink. It is its zero value between whole messages, keeps nothing of what it
is lent but messages in pieces that somebody wants, and allocates for these alone. What
it says does not depend on the cuts.

After FaultMessage and FaultRefused it may be fed on: a client that says goodbye behind
what was refused is understood.

# What looks wrong but is deliberate

  - Targets may have bytes above 0x7f, which a URI has not (RFC 3986, 2). Clients
    send channels in plain UTF-8, and every server in front passes them on.
  - HTTP/1.2 is taken as HTTP/1.1 (RFC 9110, 2.5).
  - An empty Host is good (RFC 9110, 7.2).
*/
package wire
