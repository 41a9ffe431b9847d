// Package bench holds the proofs: programs that measure what the server claims,
// with the command beside every number.
//
//   - bench/10m-client opens millions of WebSockets, checks every byte that
//     arrives and can publish and measure at the same time.
//   - bench/floor measures the server beside bare programs that do the same
//     with nothing but system calls, in one run: deliveries, connects and
//     memory, and the return of all after all were dropped.
//   - bench/load is what both are made of: a client on the server's own reactor,
//     also for tests.
//
// # Rules
//
// A number is only worth keeping with its command, its host and who was
// saturated. Rates are compared within one run, never across two: on a host of
// two cores the same send loop has given 38,000 to 76,000 a second, depending
// on what else ran. Nothing here knows the server's internals; it is measured
// from outside, over the sockets that users have.
package bench
