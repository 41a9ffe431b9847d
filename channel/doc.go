// Package channel brings published messages to the connections that subscribed:
// the registry of channels, the logs, the positions, the sweeps, and the Hub,
// the one door through which a message enters all loops.
//
// # The idea
//
// A channel is a short log, and a subscriber is a position in it. There are no
// output buffers. A log holds pointers to the frames that are still owed to
// somebody; a member holds the sequence number of its next frame and how many
// bytes of that frame are in its socket already. From this follows the rest:
//
//   - Fan-out is a sweep that brings every member to the head of the log.
//   - Who is visited late gets all that it lacks in one writev: the busier the
//     server, the fewer system calls per message.
//   - A slow reader costs no memory of its own. It goes to the log's list of
//     blocked members, EPOLLOUT is armed for it alone, and no sweep meets it
//     again before it has caught up. A million slow readers share one log.
//   - Joining and leaving in the middle of a sweep need no care: a newcomer
//     stands at the head, a leaver moves the cursor on.
//   - A channel that owes nothing holds no log.
//
// Per channel and connection, frames come in the order of publishing, each
// exactly once, from the subscription on until the connection ends or, with
// Config.Skip, with the gaps that Stats.Skipped counts.
//
// # Formats
//
// A member gets its messages in one of a few formats, the byte member.format. The
// frame of a WebSocket is made by Publish, once; what the others look like is
// made by the hub's Encoders when the first member of that format is served, and
// kept with the message, so that all loops share it, too. A format costs who does
// not use it one compare per delivery. In BenchmarkSweep that was not to be seen:
// 24 and 36 ns a delivery with 1,000 and 1,000,000 members, 28 to 40 and 38 to 46
// before, the noise of the host being larger.
//
// Every message has an id, its life and its number: Hub.post counts under the
// order lock, so numbers ascend along each channel, with gaps.
//
// # History
//
// A log forgets a message when all have it. For clients that come back, a History
// (off by default: then Publish asks it nothing) keeps the latest of each channel,
// bounded by count, age and bytes over all channels. It is the hub's, and no loop
// touches it: a loop leaves a Question, and a goroutine posts the Answer under the
// order lock of the channel, so that in the mailbox it stands exactly between the
// messages that are in it and those that are not (resume.go). Beside
// BenchmarkPublish, BenchmarkPublishKept tells what keeping costs.
//
// Dropped: one number for all channels under which everything may be missing. A
// busy channel would have told the clients of all quiet ones that their positions
// are gone. Bounding the bytes by stripe: one hot channel would have a 64th of them.
//
// # Who owns what
//
//	Hub        any goroutine but a loop's. Publishers of one channel take turns
//	           under one of 64 striped locks, so that all loops see one order.
//	           No loop takes these locks, and no lock is held on the way from a
//	           mailbox to a socket.
//	Registry   one loop's thread: cells, index, logs, queues, members. Publishers
//	           read the index through Wants, under a version that the loop
//	           makes odd while it writes: a loop without the channel is not
//	           woken. Whoever saw the answer to its upgrade is in the index.
//	Message    immutable once posted but for its other formats, which are atomic;
//	           shared by all loops; the collector frees it when the last log drops
//	           it.
//	member     the room in the connection's poller.Record; ours from Subscribe to
//	           Unsubscribe, but for memberHeld, which is the connection's.
//	Receipt    settled once by each loop, waited for by its publisher.
//	Stats      written by the loop, read by anybody.
//	listing    its mutex is between the loops of one Hub.Channels, and is held
//	           while one slice header is appended.
//
// # Layout
//
// What one loop keeps, in bytes, with nothing on the heap while it is idle:
//
//	member   24   in the 32-byte record of its connection
//	cell     40   for a name of up to 15 bytes; 25 and the name, rounded up to
//	              48, 56, 64, 80, 96, 128, 192 or 280
//	index     4   per channel: linear hashing, chained through the cells
//	log     120   while the channel owes something, and 16 per frame owed
//
// A connection on a channel of its own is thus 32 + 44 bytes
// (TestManyChannelsAreNoHeapObjects measures it).
//
// A raw WebSocket has one channel, so its membership is in its record: to
// serve it touches the record's cache line and no other of ours. A protocol
// with many channels on a connection needs a flat table of memberships.
// The node is the same, with two more words: which connection it is (4) and the
// next membership of that connection (4), so 32 bytes, half a cache line. Bytes
// per connection, its record included:
//
//	channels per connection           1      2     10
//	inline, as now                   32      -      -
//	a table for all                  56     88    344
//	inline if one, a table if more   32     96    352
//
// A table for all saves 8 bytes of the record (the links and the position are
// in the nodes; off and the flags stay, since a socket stands in the middle of
// one frame at most, whatever the channel), and costs a raw WebSocket 24 bytes
// and a second cache line at each delivery. The last line is what conn built: this
// room knows members by number only, and asks its Socket for the place of each; conn
// gives the numbers above the descriptors to nodes (conn/memberships.go).
//
// # Slow readers, slow sweeps
//
// These are two things, and only one is the reader's fault.
//
// A member is slow when its own socket was full. It is overrun, that is closed
// or with Config.Skip moved forward, when it keeps its log longer than
// Config.LogBytes, or when a frame has waited for it for Config.LogAge in which
// it was blocked all the time, or when all logs together pass
// Config.LogBytesTotal. The newest frame may pass the limit: one message of the
// largest size is no reason to close all who do not take it in one write.
//
// A member that the sweep has not come to yet is not slow, however old or long
// the log is. For its sake Full says that letters should wait, so the mailbox
// fills, Post refuses, and publishers wait in Hub.Publish: that is the whole of
// backpressure. Entries count apart the members whom the sweep still has to
// visit (unswept), so the two never mix. Full begins at a quarter of LogBytes,
// for what a sweep is behind and for what one turn adds, so that a reader may
// leave one such burst unread, and a second, and still owe half a log only.
//
// Full stops the letters of all channels of the loop. A way to refuse one
// channel's letters and read the others' would need a mailbox per channel.
//
// # Bounds
//
// Nothing here takes time in proportion to members or channels within a turn:
//
//	a slice of a sweep      64 writes, 1,024 members looked at; one write per
//	                        visit, of at most 64 frames and 256 KiB; 16 writes
//	                        where loops take turns on a processor, and none in
//	                        a turn without a seat (poller/turnstile.go)
//	small channels          up to 256 writes a turn, before the large ones; a
//	                        channel of at most 16 members is small
//	overrunning             a slice of the blocked list: 64 closes, which count as
//	                        writes, or 1,024 looked at
//	age                     1,024 logs a turn; each log 8 times in a LogAge
//	total limit             1,024 logs a turn looked at; one log at a time
//	listing                 1,024 cells a turn
//	survey                  4,096 cells a turn, 22 ns each with 1,000,000 channels, 48
//	                        with a filter (BenchmarkSurvey): 0.09 and 0.2 ms
//	slow members            1,024 logs and members a turn, 256 members of a log
//	subscribe, unsubscribe  constant; the index splits or joins one bucket
//	EPOLLOUT                one write
//
// What is proportional to entries of a log (dropping what is owed to nobody,
// finding where to overrun to) is paid for by their appending.
//
// # Pace
//
// A message to millions can outrun the device that has to carry it, and what finds
// a full queue is dropped without a word to the sender. So the slices of large
// channels (more than 16 members) keep a Pace, which all loops share: a rate, and
// a number of writes up to which slices may begin. Both are set from outside
// (tuning.Pacer, every 10 ms); a loop reserves a slice, sleeps until its time
// and has its loop wake up for it (WorkBy), while small channels, events and
// letters go on. One atomic word per slice is all that loops share for it, and
// nobody waits for another. Writable is not paced: what it writes was asked for by
// an acknowledgement.
//
// # What an operator sees
//
// Survey finds the largest channels, SlowMembers those who have been blocked the
// longest, Busiest the channels with the most deliveries. A cell has no room for a
// counter of messages (its sequence number counts them, but to see a rate one would
// have to remember ten million numbers), so the latter is a summary of 64 entries
// (busiest.go) that exists, and costs a message something, only while somebody
// looks: 15 ns where few channels are busy, 0.5 us where 100,000 are at random
// (BenchmarkBusiest).
//
// # Invariants
//
// The tests check all of them after each step of random worlds (check_test.go):
//
//   - A member is in exactly one list: the channel's, or its log's blocked one.
//     In the blocked list it is behind; outside it stands between two frames.
//   - The waiting counts of a log's entries add up to behind, the unswept ones to
//     behind minus blocked; the oldest entry is waited for by somebody.
//   - A log that owes something to its sweep is queued, once. A released log
//     goes to the spares when it leaves the queue, once.
//   - A member leaves the blocked list only at the head, or with its channel.
//   - The rest of a frame that is partly in a socket is written before anything
//     else: by the sweep, by Writable, or, after Hold or Owe, by the owner.
//   - A dead member (its write failed, or it was overrun) is never written to.
//
// Sequence numbers wrap at 2^32. They are only compared within one log, whose
// length is far below 2^31.
//
// # What looks wrong but is deliberate
//
//   - unlink takes no descriptor, and push puts members at the front: lists have
//     no tail, so the youngest members are served first. To serve the oldest
//     first would cost 4 bytes per cell and buy nothing.
//   - A member that catches up through EPOLLOUT goes to the front of the
//     channel's list, behind the cursor. It is at the head, so nobody misses it.
//   - Writable makes one write even if the socket would take more. epoll is
//     level-triggered and tells again in the next turn.
//   - A dead member keeps its place, and so the log, until it is unsubscribed at
//     the end of the turn: its lists and counts stay those of a live one.
//   - A released log stays in its queue. To take it out would need links.
//   - A log may stay over its limit after a walk of its blocked list, since
//     messages came meanwhile. The next one asks anew, and letters wait only
//     while a walk is under way: waiting for a walk that only a letter can begin
//     would be for ever.
//   - Cells and index buckets are never given back to the kernel: what a million
//     channels took once is there for the next million. The table of logs keeps
//     its length, too; a round of age passes over its free slots.
//   - The hash is 32 bits and the seed random per process: nobody outside can
//     choose names that collide.
//   - A publisher holds its order lock while a mailbox is full. Others of the
//     same stripe wait with it, since they may not overtake.
//   - Message.at is read before the order lock is taken, so a log's times need
//     not ascend. Age stops at the first frame that is young enough.
//
// # Tried or weighed, and dropped
//
//   - An output buffer per connection: a copy of each frame per slow reader, and
//     memory in proportion to slow readers times lag.
//   - A heap object per channel: ten million of them are what each collection
//     has to mark. A Go map as index: the same, and tables of it are copied in
//     one go as it grows.
//   - Dense arrays of members instead of lists: faster to walk, but a member has
//     to know its place in one more word, growing copies millions of entries at
//     once. A visit is 40 to 90 ns with the fake socket (BenchmarkSweep), a send
//     some microseconds: there is little to win.
//   - To count a log's limit by its length alone, whoever keeps it: a sweep over
//     millions is slower than a burst, and readers were closed for it.
//   - To post each message to every loop: with 16 loops and 40,000 channels of
//     one on two cores, 2,240 messages a second one at a time and 10,900 with 32
//     under way, 16 wake-ups each; asking Wants first, 3,340 and 17,800, one
//     wake-up each, and half the p99. A Bloom filter per loop would have cost 8
//     bytes per channel and answered yes too often at hundreds of loops; a
//     directory over all loops, locks that loops take.
//   - To copy the frames of a batch into one buffer and send that, once for all
//     members that lack the same ones: 1.41 us of the server's time for each of
//     eight deliveries in a write, against 1.46 with a vector, within the noise.
//   - A rate alone as pace: on a busy host its owner came late, and by then the
//     sweep had filled the queue ten times over (8 % of the segments were sent
//     again, 0.02 % with a number of writes up to which slices may begin).
//   - To write to a member until it is at the head: one reader with a long
//     backlog of small frames held a turn for more than a thousand writes.
package channel
