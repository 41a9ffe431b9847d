/*
Package wire holds the codecs of what clients speak. They know bytes, and no server:
no socket, no session, no configuration.

	head.go    the head of an HTTP request, as it comes
	fields.go  the fields of a head that somebody needs
	lists.go   values that are lists (RFC 9110, 5.6.1), and qualities
	target.go  the forms of a request's target, and hosts
	date.go    the Date of answers
	answer.go  whole answers, their status, CORS, what differs from one to the next
	json.go    what those are told who publish, and who ask for presence

	handshake.go  the answer to a WebSocket's request (RFC 6455, 4.2)
	frame.go      the headers of frames (RFC 6455, 5.2), and whole frames
	inbound.go    what a client says in frames
	events.go     server-sent events (HTML Standard, 9.2)
	poll.go       the answers to long polls
	names.go      channels, positions and keys, as all of them write them
	commands.go   c10m.v1: what a client of many channels says, and what it is answered

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

	FaultLine        not a request's first line
	FaultVersion     a major version other than 1
	FaultTarget      control characters or # in the target, or a form that the method has not
	FaultField       a line that is no field: folded, no colon, not a token, control characters
	FaultHost        no Host (HTTP/1.1)
	FaultHostValue   two of them, or one that is no host and port
	FaultLength      two lengths, a list of them, not digits, or one beside Transfer-Encoding
	FaultCoding      a Transfer-Encoding that does not end in chunked, or in HTTP/1.0
	FaultLong        the fields do not end in time
	FaultTargetLong  nor does the first line

Several lines of a field are one list. Their values are found by walking from the first
to the last of them again, and only if there are several.

# Frames

An Inbound takes what a client says over a WebSocket, cut anywhere, unmasks it in place
and tells a Sink. It is its zero value between whole messages, keeps nothing of what it
is lent but messages in pieces that somebody wants, and allocates for these alone. What
it says does not depend on the cuts.

	FaultFrame    breaks RFC 6455: a header (5.2 to 5.5), a close code (7.4)
	FaultText     a text or a close's sentence is not UTF-8 (8.1), as soon as it is certain
	FaultMessage  a message is longer than the Sink takes, as soon as a header says so
	FaultRefused  the Sink did not take a message

After the last two it may be fed on: a client that says goodbye behind what was refused
is understood.

# What looks wrong but is deliberate

  - Targets may have bytes above 0x7f, which a URI has not (RFC 3986, 2). Clients
    send channels in plain UTF-8, and every server in front passes them on.
  - HTTP/1.2 is taken as HTTP/1.1 (RFC 9110, 2.5).
  - An empty Host is good (RFC 9110, 7.2).
*/
package wire
