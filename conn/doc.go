/*
Package conn is one connection's life on its loop: the requests, and what answers
them; of a WebSocket the handshake, the frames that come in, the control frames that
go out; and the one reason for which it ends.
It knows nothing of Redis and nothing of other loops.

# Who owns what

A Server is one loop's connections. It is the loop's poller.Handler and the
owner (channel.Owner) of the loop's channel.Registry; the loop calls it, it calls
the registry, and neither calls back in the middle of the other. Everything in
it belongs to the loop's thread, except for Stats and Shared.open, which are
atomic, and Drain, which posts a letter.

	poller.Record   Phase, and a mark for "has cold state"; the 24 bytes of Room
	                are the registry's (which frame, how many bytes of it)
	Server.cold     what does not fit the record, only while there is something:
	                half a request, half a frame, half a body, how many answers are
	                to come, words that wait for room
	Server.in       the parser of whoever is being read, if it has no cold state
	Server.scratch  the bytes being read, lent to the parser, unmasked in place
	Server.pongs    answers to the pings of one read, written together
	Server.paused   who is not read from until the bus has taken what is under way
	Server.expiries when tokens end: 12 bytes for each connection whose token
	                does, and none for the others
	Server.exchanges one entry of 16 bytes for each connection whose requests are
	                no upgrades
	Server.clients  whom a connection is counted under: 8 bytes in a table indexed by
	                descriptor, only with Access.Addresses. Loops that share the
	                descriptors share it, and each touches its own entries.

So an idle connection has its record and nothing else: no buffer, timer, heap
object or map entry.

# Phases

	request    -> kept       answered, and not upgraded: the next request may come
	request    -> body       a POST whose body is not complete
	request    -> answer     the answer comes later, or waits for room
	request    -> poll       a poll waits for the next message
	kept, body, answer and
	poll                     to each other, as requests come and are answered
	request, kept, answer
	           -> open       a good upgrade, or a request for events: subscribe,
	                         then answer, then read on
	any so far -> lingering  refused, or its last answer: that was written or is owed
	any so far -> ended      gone, silent for too long, or stopped
	open       -> closing    our close frame was written or is owed
	open       -> lingering  the same, but the client broke the protocol; a stream of events
	open       -> ended      the client's close was answered, or nothing can be said
	closing    -> lingering  what the client says cannot be read on
	closing    -> ended      the client's close frame came, or its time is up
	lingering  -> ended      the client ended its side, or its time is up

A connection only moves down this list, except among kept, body, answer and poll, and it
never comes back to request: handshakeTimeout runs from the accept, and once. The
reason is counted when it comes to closing, lingering or ended, by whoever is first, so one
connection has one reason whatever befalls it later; a request that was answered is
no reason. Gauges follow the phase in one function, setPhase. ended is
set with poller.Loop.Close, which marks; the reaper calls Closed at the end of
the turn, and only there the membership and the cold state go.

The ways to end are end (now), finish and finishCode (with last words). finish ends
our direction of the stream behind the words and goes on reading until the client
ends its own, because a socket that is closed with unread bytes in it sends a
reset, and the reset overtakes the words (RFC 1122, 4.2.2.13). finishCode takes leave of a
WebSocket: our direction stays open, and TCP is closed when the client's close frame
has come (RFC 6455, 7.1.1). Both wait for lingerTimeout at most, and keep nothing for
it but an entry of Server.lingers, and the parser's state of who is inside a frame.

# Writing in the middle of a frame

Bytes of our own (answer, pong, ping, close) go out in say. If no frame is partly
in the socket, they are written at once. Else, or if they do not fit, the member is
held (channel.Registry.Hold): the rest of its frame becomes cold.owedFrame, a
slice of the shared frame and no copy, and the words cold.owed. When the socket
has room: owedFrame, owed, then Release, and the log goes on. Frames that are
kept so count in pins, each once, up to Config.Channel.LogBytesTotal. A member that was
skipped forward in the middle of a frame comes here as well (Owe). Nothing else
writes to a connection of ours but the registry's sweep, and that leaves held
members alone.

# Requests that are no upgrades

parseRequest takes the head apart, as slices of it, and route says who answers:

	POST /<channel>            post.go: published, answered with JSON when the bus has it
	OPTIONS                    the CORS preflight
	GET, HEAD below /-/        pages.go: Config.Pages, and how many a channel has
	Accept: text/event-stream  routeEvents
	?wait=                     routePoll
	HEAD of all else           what the handshaker answers a GET that is no upgrade
	all else                   the handshaker, which has an error for what is no upgrade

Ours is strict where a proxy in front could read another request than we do: what it
finds malformed is refused before anything of it is done, and FuzzParseRequest holds
it against net/http. judgePlain asks for the page's origin, judgeReader and judgePost
for the token as well.

Answers come in the order of the requests. While an answer is to come (cold.pending:
the bus is publishing), further messages that are in the same read, whole, are
published, too, up to exchangesPerReadMax: their answers come in the same order, as a
loop's queue to the bus is one. Behind a request to count connections they wait, as its
answer is not the bus's. Anything else waits as it came in cold.request, and
EPOLLIN is off, but only from the first event on that says that there is more:
a client that waits for its answer costs no epoll_ctl. The answers of one batch of
the bus come in one letter, and those of one connection leave in one write. Whoever
does not take them is asked for nothing more.

A connection between two requests has its record and an entry of 16 bytes in a queue
that is looked at every exchangeLook. Record.Stamp is the second, modulo 256, at which
its phase or its request began. So there is one entry, however many requests come; an
entry for each would be 3 million a minute at 50,000 a second, which is why requests
after the first do not go through Server.handshakes.

A POST under overload gets 429 and is not held back as a WebSocket is (below): who
waits for an answer does not pile up messages, and is told when to try again.

A connection that is kept holds a descriptor and the kernel's memory as a WebSocket
does, so it counts in Shared.open, from its first answer (or the message that it
publishes) until we end it, and goes on to an upgrade or a poll in its own place. It is
less to its client than a WebSocket, which would miss messages: when newcomers are
refused, for --max-connections or for memory, each answer is the last on its connection
(so it is when keptMax connections of a loop are kept), and who is idle goes after
keptCrowdedTimeout. To close one for each newcomer instead would want a list of the
idle ones, of all loops. Counted per connection and not per request, so that the loops
do not fight for the counter at each. A newcomer's POST is answered also when the
server is full: that takes no longer than to refuse it, if its body is there. An answer that the kernel does not take is
copied, a page of our own as well: beside the send buffer that had to fill before, it
is little, and long answers count in owedBytesTotalMax.

Measured with one loop, the embedded bus and the client on the same two processors
(scripts/results posts; 64 bytes a message), two thirds of the time in send and recv:

	connections, requests under way on each      posts a second   of a processor
	256, 1                                               83,300             0.89
	64, 1                                                78,600             0.81
	16, 16 (pipelined)                                  255,000             0.98

In another run, on processors that others used as well, a subscriber on each channel
took 64 connections from 48,600 to 32,400.

Loops that are asked for the connections of a channel are asked by a goroutine, at
most countsMax of them for each loop.

An answer to HEAD is that to GET without its body (RFC 9110, 9.3.2; answerTo), refusals
included, also when the request is half there or nobody wants to hear it: what a
client does not expect behind a head, a proxy takes for the next answer.

Limits that are meant: bodies with a Content-Length only, since a chunked one could
not be refused before it is too long, and nobody needs it for messages; an
address is counted once for a connection (gate.go), so a proxy that sends several
clients' requests on one connection has them counted as its first client.

# What clients say

With Config.NewPublisher (--publish own) the data messages of connections that
have markPublish (all, or with Config.Tokens those whose token says so) are
published to their own channel: Publisher copies a message into its loop's queue,
and a goroutine hands it to the bus, where it is a PUBLISH like any other. So it comes back to its sender in the channel's one order, RESP
subscribers and other servers hear it, and the loop waits for nothing. Without
the mark data is refused as ever.

When enough is under way, connections that may publish are not read from: before
each read of one, the loop asks Publisher.Full, drops EPOLLIN for that socket and
puts it at the end of Server.paused. What the client goes on to say stays in the
kernel, then with the client, which is how TCP slows it down. Nothing is parsed
that cannot be handed on, so a pause keeps no bytes here. When half the queue is
free they are read from again, the longest waiting first, resumesPerTurnMax a
turn. Closing with 1013 instead would be simpler, but a burst of many clients would
then be closed, come back, and say it again.

One read brings many messages, and those of a newcomer come with its request, so
the queue may pass its limit; at its hard limit the client is closed with 1013
(publish_full). A message that the bus did not take, or whose taking nobody knows,
closes its sender with 1013 (publish_failed): the client may try again, and knows
that it may say it twice. Nothing is lost in silence, and nothing is tried twice
here.

A payload is collected in cold.in.payload when it comes in pieces, up to
Config.PublishBytesMax each and InboundBytesTotal a loop, and lent to Publish as
it stands in the read buffer when it comes whole.

The opcode is not carried: a payload comes back as --frame says, by default as
text if it is UTF-8, else as binary. Redis carries bytes and no opcode, and a
message is to look the same whichever way it came. So a binary message that
happens to be UTF-8 comes back as text; programs that speak a binary protocol want
--frame binary, with any publisher.

# What an operator sees and does

Operator asks the loops with orders (poller.Loop.Run), which pass a mailbox that is
full, and waits for them no longer than its context says. The only state for its
sake is a ring of the last closes per loop (recent.go): an address or a time of
connecting would be bytes for every connection, so the address is asked of the
kernel when somebody looks, and how long a connection lived nobody knows.

Disconnect closes one client, by loop, descriptor and generation, and DisconnectChannel
all of a channel, with CodeDisconnected (4002), at the pace of a drain. The walk goes
over all connections of the loop, a record each, and not along the channel's list,
which changes meanwhile; so a channel of three among five million on a loop takes
three seconds to be gone through. Who came after the operator's word, told by
generations, stays. (A connection that was kept for its next request came before, also
if it is upgraded or polls after it.) So does who subscribes with c10m.v1 after it: the
walk has a set of these memberships, which is empty unless somebody does that while it
lasts, and costs SUB nothing else. A drain takes precedence, and what is left is closed by it. A
connection of many channels ends with any of them.

# Many channels on one connection

A client that asks for the subprotocol c10m.v1 (docs/c10m.v1.md) has many channels
on its connection and names the one that it publishes to.

	memberships.go     between registry and loop: which member is whose
	twoway.go          joining, leaving, going on when there is room
	twoway_resume.go   how a channel is confirmed and continues at a position
	commands.go        what clients say, and the answers
	named.go           what they are sent
	grants.go          what their tokens allow

The registry is as it was. It knows members by number: below 1<<31 they are
descriptors, from there on memberships, 32 bytes each (the registry's 24, whose, and
the next of the same connection) in a flat table off the heap. A raw WebSocket pays
a comparison and a call, 1.5 ns each time that its room or its socket is asked for
(BenchmarkRoom: 3.4 ns, 1.9 without), a two-way connection nothing beside its
memberships: what it has to
remember (twoWay) lies in the room of its record, which no member needs. Patterns of
tokens are off the heap, too, in slots of 64 to 4,096 bytes.

One socket has many logs then, so memberships.Send keeps them apart: while one
membership stands in the middle of a frame, or words of our own are owed, the others
find the socket full, as the kernel would say it, and the registry blocks them. When
there is room, serveMembers goes on with the unfinished frame, then with backlogs,
then with the blocked in turn. Overruns, failures and what is owed of one membership
are its connection's: a client that is too slow for one channel is closed (or, with
Skip, loses messages of that channel only).

Answers to commands share the buffer of pongs, so a read full of commands is a few
writes. A client that does not read them is not read from (twoWayDeaf): answers are
not dropped as pongs are, so who asks has to read.

A message that the bus did not take is answered with ERR, and the connection stays:
the client knows which channel it was for, and a 1013 would cost it all the others.

SUB is answered when the history has said where the channel stands, so that a
client without a message yet has a position, too. Answers of SUB therefore do not
come in the order of commands, but in order for each channel: a SUB that comes again
before the first is answered is counted with that one, and answered after it.

# Positions

With ?since=POSITION a client continues where it was (resume.go, and
channel/resume.go for the picture). It is a member at once but held, asks
Config.History, and is brought from the answer's messages to its log without a
gap or a double, whatever is published meanwhile. Meanwhile it has cold state and a
resume (88 bytes on the heap). What it does not take at once counts in pins, and it
has the age of a log to take all of it (slow_log_age). A position that cannot be
continued closes it with 4001 (position_gone) before it got anything: a raw
WebSocket has no other way to say so.

# Server-sent events

A stream of events is a connection in phase open whose member has the format
channel.Event; events.go has what differs. Its messages go as the sweep writes
frames, so slow readers, batches and bounds are the same, and so is the cost
(BenchmarkEventsBesideWebSockets). A message is made an event once, by the first
loop that serves a member of that format. What we say goes through say as ever:
finishCode, pings and notices look at the format. There is no chunking and no
length, as the stream ends with its connection: a chunk's head would depend on how
the sweep batches.

What a client sends after its request is read and dropped, one read a turn: to stop
reading would hide its end, and an answer to a pipelined request could never come.

A stream that begins without a position asks the history where the channel stands,
and says that as an id without data, which the client keeps: it can so continue
even if it is cut before its first message. What comes meanwhile waits for the
answer.

# Long-polls

A poll that has to wait is in phase poll: a member in the format channel.Response
(channel.LastResponse if it said Connection: close),
which the sweep answers and takes out of its channel in one step (channel/once.go);
Served puts its connection back among those that are kept. What it waits with is
its record, and an entry of Server.polls, the structure of expiry.go, for its time-
out: 12 bytes, and while polls end before their time up to as many again. An entry
of an earlier poll of the same connection is told by Record.Stamp, the second (of
256) in which the poll ends.

A poll with a position asks the history as a WebSocket does, and is held meanwhile;
its answer is what the history has, or if that is nothing, it goes on to wait. With
a history a poll whose time is over asks, too, for the position that its 204 names:
it may not be read from anything here, since messages that count in it may still be
in the mailbox. A poll has one question under way at most, and does not end before
its answer but with its connection: an answer carries the connection and not the
poll.

What a client sends while its poll waits (the next request, of one that does not
wait for answers) is kept and not looked at, and no more is read. Its end is not
heard then until the poll ends; who just waits is heard at once.

Answers are shared by all polls that stand at the same place, and those that say
Connection: close (RFC 9112, 9.6) by all that asked for it.

# Presence

With Config.NewPresence each loop tells once a second to which channels its
connections came and which they left (presence.go). The registry adds up, so the
cost is one map entry for each channel that changed, and none without the flag.

# Missed messages

channel.Hub.Interrupted cuts all channels at one place (channel/interruption.go). Who
was there before is told (missed.go): 4001, or 410 to a poll, at a drain's pace, and
before it gets what was published after; who comes back with a position is told by the
history. The cut is made when a gap is over: who is open then and was not when the gap
began is told as well, which is allowed, as it may have missed something, too. A
second cut during the walk has it go round once more: to start anew would, with cuts
that come more often than a walk takes, have the last in it wait for ever.

Dropped: to tell by generations of descriptors who came after the cut. It costs nothing,
but polls come again and again on one connection. To close whoever a message is due to:
a message to a million is then a million who come back at once.

# Invariants

  - An entry of Server.clients is not 0 <=> the connection is counted in
    Access.Addresses, once.
  - Sum of Stats.Closes = connections accepted - connections that are in a phase
    before closing. Closes[0] stays 0.
  - Stats.Unfinished, Open = the number of records in that phase, Stats.Lingering of those
    in closing and lingering, and Stats.HTTP of those in kept, body and answer. Shared.open = those in all phases
    from kept to open, of all loops.
  - cold.pending > 0 only in phase answer, and as many answers come with Published,
    or from a goroutine of Server.counts.
  - markTimed in a record <=> one entry in exchanges with its generation.
  - markCold in a record <=> an entry in Server.cold.
  - markTwoWay in a record <=> its room is a twoWay; the registry never hears of
    the descriptor then, but of its memberships.
  - At most one membership of a connection is in the middle of a frame, and it is
    twoWay.busy. A blocked one that is not held <=> twoWayFull and EPOLLOUT.
  - owedBytes = the sum of len(cold.owed).
  - Server.in is blank between two calls of readFrames, Server.pongs empty.
  - requestBytes = the sum of len(cold.request), inboundBytes that of
    cap(cold.in.payload) and of cap(cold.body.bytes).
  - markPaused in a record <=> EPOLLIN is off <=> one entry in paused with its
    generation. Entries of those who left are passed over, and dropped when they
    are more than the others and pausedStaleMax.
  - cold state exists in phase request, or while there is part of a request or of a
    body, while answers are to come, while its parser is inside a message,
    or while something is owed; thaw drops it in the same call that ends this.
  - What a stream says does not depend on how it is cut, for requests and
    frames alike: the tests cut at every byte.
  - The parser keeps no slice of what it is lent, and allocates nothing but for
    payloads that are wanted and come in pieces.

# Handshake

github.com/gobwas/ws judges the request, from memory and only when it is
complete. Ours are the length, garbage (plausible, from the first line on, so that
a TLS hello is answered at once), the channel (appendChannel) and what the library
lets pass (checkFields). In two points the library is stricter than RFC 6455,
4.2.1, and we leave it at that: an Upgrade field of several protocols (h2c,
websocket) and a Connection field that is spread over two lines are refused with
426 (request_no_upgrade), though the RFC would let both pass. The member is
subscribed before it is answered: a message published after a client saw its 101
reaches it. Frames that came with the request are read at once.

# The gate

gate.go asks access whose connection it is and whether he may have one more. The
address is known when the connection is accepted (getpeername), or with the PROXY
header of a trusted peer, or with the X-Forwarded-For of its request; from there on
it is counted until the descriptor is closed (releaseAddress, in Closed), so that
connections which never ask for anything count, too. It comes before the request
is judged: whoever is over his limit costs no handshake and no token. A PROXY
header is collected where a request is, within the same limits of bytes and time.
Without limits and trusted networks nothing of this happens.

Who is turned away for his address (429) is not lingered for: a connection that is
refused so would else hold a descriptor for lingerTimeout that nobody counts.

# Tokens

With Config.Tokens a request is judged by access.Tokens last of all, on the loop's
thread: it is arithmetic, and nobody waits for anybody. What it may take from those
already connected is bounded by time. When a turn has spent tokenNanosPerTurnMax,
it accepts nobody more (poller.Loop.LeaveNewcomers), and requests that come on
connections it has stay unread in their sockets: epoll tells them again. So there is
no queue of ours that a storm could fill, and none to be refused from; newcomers
wait where they wait anyway, and get 408 if that takes longer than handshakeTimeout.

What a token grants is kept as a mark (publish) and as an entry of expiries (exp).
An entry is 12 bytes off the heap, and as connections leave without telling, up to
as many again may be stale; memory stays what the busiest moment needed. A
connection ends up to two seconds after its token: one for whole seconds, one for
the tick. The token's time is the host's wall clock when it was shown, and the
loop's monotonic clock from then on, so a clock that is set does not end
connections; a suspended host (its monotonic clock stands still) lets them live as
much longer.

# Drain

A drain walks twice over the loop's connections: one walk pings with DrainNotice
at an even rate, the other closes with 1012 a notice later (drainNotice, or half
of the time if that is less), at the first one's pace. So a client that opens its
next connection on the notice and keeps both until this one is closed has each
message on one of them. It must keep both: what the other server subscribed too
late for may still be on its way here. To close first and let the client come
back leaves a gap that no order of ours can fill, since no data frame may follow
a close frame (RFC 6455, 5.5.1). A browser's script does not see pings and has
that gap; c10m.js tells its page of it. A stream of events gets its notice as
event: drain, a poll that waits is answered with 204 and Connection: close, and who
waits for the answer to a POST gets it.

A request that is complete only then is still served, and told at once; one that
is not complete when the drain ends gets 503.

The second walk keeps the steps of the first for the length of a notice: 16 bytes
per drainTick, 16 KB a loop, while it drains.

# Limits

All are in limits.go with their reasons. Cold state is 352 bytes and a map entry, so
coldMax is 47 MB a loop at its worst. Shared.open is compared and then counted, so
loops that upgrade at the same moment may pass ConnectionsMax by one each, and
newcomers whose POST is under way by as many as they are. Connections whose first
request is not complete, and those that linger, are not in it.
Shared.MemoryShort is asked at the same place: who is refused for either has had a
socket and a request read, and is told when to come back, spread over as many
seconds again.
Time-outs go by the tick and are late by up to a second.

A paused connection costs 8 bytes in paused; so do up to as many again who left,
and pausedStaleMax. Nothing limits how many messages one client publishes: it
shares its loop's queue with the others of that loop, in the order in which they
are read.

# Conformance

The package conformance plays the cases of the Autobahn suite. It is NON-STRICT in
3.2 to 3.4, 4.1.3 to 4.1.5, 4.2.3 to 4.2.5 and 5.15: a good message, then a
broken frame. The suite likes to hear the echo first; here it is in the bus when
the connection is failed. 1.2.1, an empty binary message, comes back as text
(above); so does 9.8.1. 7.1.6 is informational: messages that are followed by a close frame are
published, but not waited for.

# Tried and dropped

  - Many channels by a second registry, or by members that are pointers: the first
    doubles the sweeps, the second puts every membership before the collector. A
    table of memberships for raw WebSockets as well: a second cache line at each of
    their deliveries, and 24 bytes (channel/doc.go has the sums).
  - One write per pong. A client that fills a read with empty pings had ten
    thousand writes made for it in one turn, in which nobody else was served.
  - The library's own frame readers and wsutil: they want a goroutine each, and
    allocate per frame.
  - Reserving a place before the library judges a request, and giving it back:
    exact, but every refusal then touches a counter that all loops share.
  - A drain whose closes have a pace of their own, what is left over the time that
    is left: where clients leave on the notice it overtakes the notices.
  - A timer or list entry per connection for pings. A walk over the loop's
    descriptors needs neither, and is even by itself.
  - Pings of each loop as soon as some are due. With 54 loops that was 108 bursts a
    second and 0.198 of a core for 3,333 pings; by beats that the loops share, 0.131
    with four groups of loops and 0.099 with one, which would have all processors
    busy at the same moment.
  - Small batches of pings. With 200,000 connections and an interval of a minute,
    a loop that pinged 38 at a time, eight times a second, took 27 us of processor
    time for a ping and its pong, and one that pings 303 once a second 13 to 16: who
    wakes finds more to do, at both ends (3,500 context switches a second against
    1,500). At 1,000,000 with 5 minutes, 62 every second took 24 us and 247 every
    four seconds 16 to 21. Slices of 64 instead of 16, and naps of 20 ms instead of
    5, made no difference beside that.
  - Closing at once after a refusal. The client saw ECONNRESET and no status.
  - A heap of expiries: see expiry.go. A timing wheel: its lists need links in
    fd-indexed memory, which loops that share a table would each pay in full.
  - A queue of requests that wait for verification: it needs limits of its own, and
    at its end 503 for clients that could as well wait in the kernel.

# What looks wrong but is deliberate

  - Event returns without reading while tokens wait. Level-triggered epoll says so
    again in each turn; the loop is not idle then anyway.
  - After our last words we go on reading, and drop what comes. Pings that come after our
    close frame are not answered: nobody reads what follows a close frame.
  - After the client's close frame we answer and close without lingering: it may
    not send anything more (RFC 6455, 5.5.1), and at ten million connections
    most closes are of this kind. Who sends more all the same may get a reset.
  - Nobody waits for a pong. A peer that is gone does not acknowledge the ping
    either, and the kernel tells (TCP_USER_TIMEOUT); one that is there but hangs
    is found when its socket fills. A full socket is not pinged at all.
  - Beyond owedBytesMax pongs are dropped: RFC 6455, 5.5.3, asks for an answer to
    the latest ping only. Behind the client's own backlog they would lie.
  - A slow consumer gets no close frame. Its socket is full, so nothing can be
    said; the client sees the end of the stream or a reset.
  - Who is held back is answered no pings, and its close frame waits: reading
    only those would mean to parse, and keep, what is between them.
  - Who is held back and is reset loses what it had sent and we had not read. To
    read on would let clients pass the limit by breaking off.
  - A message from a client is read to its end and checked before it is refused
    with 1003, so that a broken client hears what is broken: 1002, 1007 or 1009.
  - end, in the middle of a read, leaves the cold state to the reaper: the parser
    that is running may be inside it.
*/
package conn
