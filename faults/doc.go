/*
Package faults proves docs/PROMISES.md: each test does to the real binary what
breaks servers of this kind in the field, and says what was injected, how many
messages were lost and how long it took to recover.

	make test    # bounded forms, as part of all tests
	make faults  # the full ones: more clients, longer faults

A test asks scale for its numbers, so that both forms are one test, and ends with
held, which prints its line of the table. No test asserts a time; recovery times
are told. The harness is internal/servertest; crowds that read and check every message
are bench/load's (crowd_test.go), clients that never read are deaf_test.go's.
*/
package faults
