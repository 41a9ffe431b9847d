// Package channel brings published messages to the connections that subscribed:
// the registry of channels, the logs, the positions, the sweeps, and the Hub,
// the one door through which a message enters all loops.
//
// docs/internals/channel.md has layouts in bytes, the bounds of a turn, formats,
// the history, pace, measurements, and what was tried and dropped.
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
// # Who owns what
//
//	Hub        any goroutine but a loop's. Publishers of one channel take turns
//	           under its lock (Order), so that all loops see one order. No loop
//	           takes these locks, and no lock is held on the way from a mailbox to
//	           a socket. Locks: Hub.cut, a channel's, History.mu.
//	Shortcut   one loop's thread: its own way into the Hub. It tries those locks and
//	           waits for none, looks for room in all mailboxes before it posts to one,
//	           reads how many members other loops have (Registry.MembersOf), and
//	           hands its own loop the message in the same turn. Where that cannot be
//	           done, nothing is, and a goroutine goes the long way.
//	Registry   one loop's thread: cells, index, logs, queues, members. Publishers
//	           read the index through Wants and MembersOf, under a version that the loop
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
// # Gaps
//
// Where the bus may have lost messages, Hub.Interrupted makes a cut through all channels
// (interruption.go). It takes a number as a message does, so a position before it cannot be
// continued. A member that was there before is untold until its owner tells it; until
// then it gets what was published before the cut, and nothing of what came after. Who
// is untold is four bits of the member, so a cut costs nothing per member.
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
// # Limits
//
// limits.go has them with their reasons. Nothing takes time in proportion to members or
// channels within a turn. What is proportional to entries of a log is paid for by their
// appending. presence.go tells of no channel whose name is over 246 bytes, since nobody
// could subscribe to presence:NAME; Stats.PresenceUnnamed counts these.
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
//   - A member is told of a gap before it gets anything that was published after it.
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
//   - A publisher holds its channel's lock while a mailbox is full. Others of the
//     channel wait with it, since they may not overtake. While an Interruption waits for
//     a full mailbox, all publishers do.
//   - Message.at is read before the channel is locked, so a log's times need
//     not ascend. Age stops at the first frame that is young enough.
package channel
