/*
Package walks goes to all connections of a loop, evenly over a time, so that their clients
do not all come back at once. It knows no session: what is done to one connection is its
caller's, by an interface.

	drain.go  tells all that the server goes, and closes them a notice later
	gaps.go   tells those who were there of an interruption of the bus

The arithmetic is timers.EvenWalk's. A Draining and a Gaps belong to their loop; a Drain is
what the loops of one drain share, and waits for them.

  - A drain takes precedence: no gap is told while one is on.
  - A client hears of a gap before anything that was published after it, and once.
*/
package walks
