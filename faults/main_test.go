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

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// scale returns the number for the bounded form of a test or for the full one
// (C10M_FAULTS=full, which make faults sets).
func scale(bounded, full int) int {
	if os.Getenv("C10M_FAULTS") == "full" {
		return full
	}
	return bounded
}

// An outcome is a line of the table of faults.
type outcome struct {
	fault   string // what was injected
	clients int
	lost    int           // messages, summed over the clients that should have had them
	recover time.Duration // until all was well again; 0: nothing had to
	held    string        // what was promised, and held
}

var table sync.Mutex

// held prints a line of the table and adds it to the file that is named by
// C10M_FAULTS_TABLE. A test calls it last, and not if it has failed.
func held(t *testing.T, o outcome) {
	t.Helper()
	if t.Failed() {
		return
	}
	recovery := "at once"
	if o.recover > 0 {
		recovery = fmt.Sprintf("%.1f s", o.recover.Seconds())
	}
	line := fmt.Sprintf("| %s | %d | %d | %s | %s | %s |\n", o.fault, o.clients, o.lost, recovery, o.held, t.Name())
	t.Log(strings.TrimSpace(line))
	path := os.Getenv("C10M_FAULTS_TABLE")
	if path == "" {
		return
	}
	table.Lock()
	defer table.Unlock()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		t.Fatal(err)
	}
}
