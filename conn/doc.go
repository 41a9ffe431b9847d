/*
Package conn is one connection's life on its loop: its requests and their answers; of
a WebSocket the handshake, the frames that come in and the control frames that go out;
and the one reason for which it ends. It knows nothing of Redis and nothing of other
loops. What needs no Server is in packages below it, none of which imports it:

	wire       codecs: bytes, and no session
	timers     what goes by the time
	reasons    why connections end, and what each is told
	admission  who may come in
	members    one connection that is many members (c10m.v1)
	backlog    what is owed outside the logs
	walks      over all connections, evenly: a drain, gaps that are told
	operator   what the operator sees, and whom he disconnects
	pages      what is at / and below /-/
	presence   who came and left

docs/internals/conn.md has the ways of each protocol in full, layouts in bytes,
measurements, and what was tried and dropped.

# Who owns what

A Server is one loop's connections. It is the loop's poller.Handler and the owner
(channel.Owner) of the loop's channel.Registry. The loop calls it, it calls the
registry, and neither calls back in the middle of the other. All of it belongs to the
loop's thread, except for Stats and Shared.open, which are atomic, and Drain and
Operator, which send the loops orders (poller.Loop.Run).

	poller.Record    Phase, Marks and Stamp; the 24 bytes of Room are the registry's
	Server.cold      what does not fit the record, only while there is something: half
	                 a request and its parser, half a body, half a frame, answers that
	                 are to come, words that wait for room
	Server.scratch   the bytes being read, lent to the parsers, unmasked in place
	Server.members   memberships of connections of many channels (c10m.v1)

The rest is owned by the parts of a Server, each in its file: it says at its type what.

An idle connection has its record and nothing else: no buffer, timer, heap object or
map entry.

# Protocols

What a connection speaks is an index in its Record.Marks, of the table in protocol.go:
plain HTTP, with which each begins; a WebSocket; c10m.v1; a stream of events; a poll that
waits. A protocol has all that differs, and nobody asks for one by name
(TestProtocolsAreAskedNothingByName). docs/examples/protocol adds one.

# Phases

docs/internals/conn.md has the ways from one to the next. A connection never comes back
to request: handshakeTimeout runs from the accept, and once. Its reason is counted when
it comes to closing, lingering or ended, by whoever is first, so one connection has one
reason. A request that was answered is no reason.
Gauges follow the phase in one function, setPhase. ended is set with poller.Loop.Close,
which marks; the reaper calls Closed at the end of the turn, and only there the
membership and the cold state go. farewell.go has the ways to end.

# Invariants

  - Sum of Stats.Closes = connections accepted - connections that are in a phase
    before closing. Closes[0] stays 0.
  - Stats.Unfinished and Open = the number of records in phase request and open,
    Lingering in closing and lingering, HTTP in kept, body and answer; OpenEvents, TwoWay
    and OpenPolls are those of open by protocol, and Open has no polls. Shared.open =
    those in all phases from kept to open, of all loops.
  - cold.pending > 0 only in phase answer, and as many answers come with Published,
    or from a goroutine of exchange.counts.
  - markTimed in a record <=> one entry in exchanges with its generation.
  - markCold in a record <=> an entry in Server.cold. It exists in phase request, or
    while isBlank is false; thaw drops it in the call that ends this.
  - Its protocol's channels are manyChannels <=> a record's room is a members.Many; the
    registry never hears of the descriptor then, but of its memberships.
  - At most one membership of a connection is in the middle of a frame, and it is
    Many.Busy. A blocked one that is not held <=> Many.IsFull and EPOLLOUT.
  - owedBytes = the sum of len(cold.owed), requestBytes that of cold.requestArray,
    inboundBytes that of cold.in.KeptBytes() and of cap(cold.body.bytes).
  - markPaused in a record <=> EPOLLIN is off <=> one entry in paused with its
    generation. Entries of those who left are passed over.
  - frames.in is blank between two calls of readFrames, outbox.pongs empty.
  - A frame that is partly in the socket is finished before anything else is written.
    Nothing writes to a connection but say, backlogs, and the registry's sweep.
  - What a stream says does not depend on how it is cut, requests and frames alike:
    the tests cut at every byte. What it costs is in proportion to its bytes.

# Limits

All are in limits.go with their reasons. Shared.open is compared and then counted, so
loops that admit at the same moment may pass ConnectionsMax by one each, and by the
newcomers whose POST is under way. Connections whose first request is not complete, and
those that linger, are not in it. Time-outs go by the tick, and are late by up to a
second. Nothing limits how many messages one client publishes: it shares its loop's
queue with the others of that loop. A body needs a Content-Length: a chunked one could
not be refused before it is too long. An address is counted once for a connection, so
a proxy that sends several clients' requests on one has them counted as its first.

# What looks wrong but is deliberate

  - Event returns without reading while tokens wait. Level-triggered epoll says so
    again in each turn; the loop is not idle then anyway.
  - The member is subscribed before its upgrade is answered: a message published after
    a client saw its 101 reaches it.
  - After our last words we go on reading, and drop what comes: a socket that is closed
    with unread bytes sends a reset, which overtakes the words (RFC 1122, 4.2.2.13).
    Pings that come after our close frame are not answered: nobody reads them.
  - After the client's close frame we answer and close without lingering: it may not
    send anything more (RFC 6455, 5.5.1). Who does all the same may get a reset.
  - Nobody waits for a pong. A peer that is gone does not acknowledge the ping
    either, and the kernel tells (TCP_USER_TIMEOUT); one that is there but hangs
    is found when its socket fills. A full socket is not pinged at all.
  - Beyond owedBytesMax pongs are dropped: RFC 6455, 5.5.3, asks for an answer to the
    latest ping only. Answers to commands are not: who does not read them is not read.
  - Who is held back is answered no pings, and its close frame waits: reading only
    those would mean to parse, and keep, what is between them. If it is reset, what it
    had sent and we had not read is lost.
  - A message from a client is read to its end and checked before it is refused with
    1003, so that a broken client hears what is broken: 1002, 1007 or 1009.
  - A newcomer's POST is answered also when the server is full: that takes no longer
    than to refuse it.
  - end, in the middle of a read, leaves the cold state to the reaper: the parser that
    is running may be inside it.
*/
package conn
