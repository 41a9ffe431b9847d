/*
Package conformance holds RFC 6455 as a table of tests, in the cases and with the
numbers of the public Autobahn test suite: its sections 1 to 7 and 10, and the
smaller sizes of 9. They run over real sockets against the rooms of the server,
with an embedded bus, and with clients that may publish to their own channel, so
that a client hears its echo as the suite expects it.

It is apart from package conn because its tests need the bus, and a fuzz target
of conn would then be built with all of a Redis client in it. There is nothing
here but tests.
*/
package conformance
