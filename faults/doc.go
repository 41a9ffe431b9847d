/*
Package faults proves docs/PROMISES.md: each test does to the real binary what
breaks servers of this kind in the field, and says what was injected, how many
messages were lost and how long it took to recover.

	make test    # bounded forms, as part of all tests
	make faults  # the full ones: more clients, longer faults

A test asks scale for its numbers, so that both forms are one test, and ends with
held, which prints its line of the table. No test asserts a time; recovery times
are told. The harness is internal/servertest.

	slow_test.go          clients that never read (deaf_test.go)
	storm_test.go         everybody leaves, everybody comes back
	full_test.go          connections, memory, descriptors used up
	crowd_test.go         clients of bench/load, that check every message
	bus_fleet_test.go     a publisher and clients that know exactly what was lost
	bus_redis_test.go     Redis killed, frozen, cutting us off, with another
	                      password, not there
	bus_network_test.go   the way to Redis cut, dead, reset, slow, narrow
	bus_embedded_test.go  what can go wrong without Redis
	deploy_test.go        a server replaced on its ports, under clients that move
	                      (movers_test.go)
	crash_test.go         kill -9
	told_test.go          all of it at once: a client on every way out (c10m.js in
	                      Node, too) and a publisher on every way in
	                      (told_ways_test.go), under a Redis that fails in ten ways
	                      and a server that is replaced (told_faults_test.go), or at
	                      the embedded bus (told_embedded_test.go,
	                      told_door_test.go). told_judge_test.go judges, and says
	                      what each close code tells a reader (told_socket_test.go).
	                      TOLD_SEED=n plays the same faults in the same order;
	                      C10M_TOLD=1h goes on for so long
	promises_test.go      the page names tests that exist

The network between the server and Redis is github.com/Shopify/toxiproxy, as a
library, so that it is in go.mod; the server's binary has none of it. In these
tests health is probed every two seconds: a machine so busy that the server or
Redis does not run for that long looks like a fault that nobody injected, and a
test then finds one gap more than it made.
*/
package faults
