// Package proc reads what the kernel says about processes and the host:
// processor time, memory and dropped connections, from /proc and getrusage(2).
// Times and drops are cumulative; whoever wants a rate takes the difference of
// two. Any goroutine may call its functions. Nothing is kept between two calls.
//
// Limits: processor time of another process comes in ticks of 10 ms, so a rate
// over a second is good to one percent of a core.
package proc
