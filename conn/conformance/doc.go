/*
Package conformance holds RFC 6455 as a table of tests, in the cases and with the
numbers of the public Autobahn test suite: its sections 1 to 7 and 10 (247 cases), and
the 54 of section 9, limits and performance. They run over real sockets against the rooms of
the server, with an embedded bus, and with clients that may publish to their own channel, so
that a client hears its echo as the suite expects it.

What is cut: a case of up to 2,048 bytes, at every byte, each cut on a connection of its
own. A longer one near both its ends, in and around the headers of its first and last frames,
and at ten or thirty places between (cutsOf). Section 9 is not cut, but sent in the suite's
own pieces, at its full sizes of up to 16 MiB; what a stream says in pieces of 1 byte is
package conn's to prove.

It is apart from package conn because its tests need the bus, and a fuzz target
of conn would then be built with all of a Redis client in it. There is nothing
here but tests.
*/
package conformance
