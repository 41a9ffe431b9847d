// Package bench holds the proofs: programs that measure what the server claims,
// with the command beside every number.
//
//   - bench/10m-client opens millions of WebSockets, checks every byte that
//     arrives and can publish and measure at the same time.
//   - bench/scenario is what it does: who connects when, what is published, what
//     counts; bench/report is how the result is told.
//   - bench/usertcp is the client's end of TCP in user space, for 10m-client --tun:
//     16 bytes a connection, so that one host shows what the server holds.
//   - bench/floor measures the server beside bare programs that do the same
//     with nothing but system calls, in one run: deliveries, connects and
//     memory, and the return of all after all were dropped.
//   - bench/compare measures the server beside its peers, and writes a table and
//     plots. It is a module of its own; bench/baseline has the one peer that is not, on
//     evio.
//   - bench/soak runs churn, fan-out, unicast, slow readers, garbage and faults
//     of the bus together for an hour, and checks what is left in the end.
//   - bench/tables prints every figure of bench/results with its commits, median and
//     worst.
//   - bench/mutants proves that named tests catch each bug of scripts/mutants.d.
//   - bench/progress runs go test and shows how far it is, what was skipped and what
//     was slow.
//   - internal/child and bench/proc start programs and read what they use.
//   - bench/load is what both are made of: a client on the server's own reactor,
//     also for tests.
//   - bench/report is what a run says: bottlenecks, criteria, text, JSON, a page.
//   - bench/plot draws the page's lines and the comparison's bars as SVG.
//
// # Rules
//
// A number is only worth keeping with its command, its host and who was
// saturated. Rates are compared within one run, never across two: on a host of
// two cores the same send loop has given 38,000 to 76,000 a second, depending
// on what else ran. Nothing here knows the server's internals; it is measured
// from outside, over the sockets that users have.
package bench
