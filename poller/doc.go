// Package poller is the reactor: loops that own connections and tell a Handler
// what happens on them. It knows nothing of HTTP, WebSocket or channels, and not
// what moves the bytes: that is each loop's Engine, package epoll for sockets of the
// kernel. It makes no system call but futex(2). docs/internals/poller.md has how it
// accepts, how loops share processors, how it stops, all with measurements, and what
// was dropped.
//
// # Shape
//
// A Loop is one locked thread with an engine and a mailbox. Loops share nothing but
// the turnstile. Post is the one door that leads in from outside; it takes no lock. Run
// queues control calls (stop accepting, drain) ahead of messages. Nothing bounds it, so
// it is not for anything that comes once per message.
//
// A turn is the list of phases in Loop.turn: wait, mailbox, events, ticks,
// sweeps, reap, check. Each is bounded by a constant of limits.go, chosen so
// that a turn takes about a millisecond (c10m_loop_turn_seconds tells what it
// really takes) and everything gets its share: a message
// to one client leaves in the middle of a sweep over millions.
//
// # Engines
//
// An Engine numbers its connections and has their records. What is scheduling is the
// loop's: turns, urgency, naps, pace, who is closed when. The engine tells a newcomer
// with Loop.Newcomer, from within Accept, so that those who come in are bounded by the
// turn's phase of events and by what the handler takes (LeaveNewcomers), and come after
// the letters of the turn. One process may have engines of several kinds: New, then
// whatever adds loops (epoll.Start).
//
// Pieces that say IsShared are frames that never change. An engine may keep them until
// they are acknowledged; epoll copies them into the socket.
//
// # Guests
//
// A loop takes connections that are none of its handler's (Guest): their owner lends them
// for as long as what they say is best done on the loop's thread, and has them back. They
// are in no walk and no gauge. redisbus lends publishers so.
//
// # Records
//
// What the server keeps per idle connection is a Record of 32 bytes, outside the garbage
// collector's heap. It has 5 bytes of ours (generation, flags), 3 of the
// connection's state, and 24 that the handler lays out; conn gives them to
// channel for the membership. With it goes one bit in the loop's set of own
// connections, by which a walk for pings finds them. An engine may keep more beside it.
//
// # Identity
//
// (loop, number, generation) names a connection. Generations count up per loop and are
// never 0. An engine drops and counts what is about an earlier owner of a number.
//
// # Closing
//
// Close marks; the reaper at the end of the turn calls Handler.Closed and
// has the engine close. So no number is reused while somebody in the same
// turn may still have it in hand, and a handler may close a connection from
// anywhere, its own callbacks included.
//
// # Invariants
//
//   - A record with FlagOpen has its bit in exactly one loop's own set.
//   - A connection that Open was called for gets exactly one Closed.
//   - While a loop waits for more than a look, its mailbox is empty and
//     asleep is set; a poster that finds it set wakes it, once.
//   - Writable is asked for only between ArmWrite(true) and ArmWrite(false).
//   - A loop that sleeps has no seat. Seats taken and seats free are together as
//     many as there are.
//   - A loop that waits for a seat and has letters which its handler would take
//     has a pass, or somebody is about to give it one.
//
// # What looks wrong and is deliberate
//
//   - HungUp is told to the handler as Readable, whether it reads or not: its Recv
//     fetches the error.
//   - mailbox.push may let one letter pass mailboxBytesMax: otherwise a letter
//     larger than the limit could never be posted.
//   - A thread of the process's first is not used, though only a private descriptor
//     table asks for that.
//   - A loop without work ticks once a second, because time-outs are looked
//     for, not armed: 272 idle loops are 272 wake-ups a second.
//   - Loops sleep seldom and together, since a wake-up costs more than the turn that
//     follows it: their ticks share a clock (conn/timers, OnBeat), and a loop naps (Nap)
//     while answers to its pings gather.
package poller
