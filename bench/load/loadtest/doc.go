// Package loadtest is a server for tests of the load client: a bus that takes
// PUBLISH and PUBSUB NUMSUB, and WebSockets that get what is published, with a
// goroutine for each connection and two libraries. It is slow, and nothing of the real
// server is in it.
//
// It is right by default, and wrong in one exact way if asked to be: it loses,
// repeats or reorders messages, and says how many, or holds on to connections that
// have ended.
//
// # Invariant
//
// A connection is a subscriber from the moment its 101 is on the way, both
// under one lock, so a message that is published after somebody saw the 101
// reaches it.
package loadtest
