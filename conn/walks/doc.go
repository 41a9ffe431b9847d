// Package walks goes to all connections of a loop, evenly over a time, so that their
// clients do not all come back at once: a drain (drain.go), and gaps that are told
// (gaps.go). It knows no session: what is done to one connection is its caller's.
//
//   - A drain takes precedence: no gap is told while one is on.
//   - A client hears of a gap before anything that was published after it, and once.
package walks
