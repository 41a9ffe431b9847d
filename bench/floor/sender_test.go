package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"c10m/internal/patience"
)

// Every table is used, none gets more than it holds, and all together get
// every connection.
func TestSenderShares(t *testing.T) {
	const limit = 20_000
	for _, tc := range []struct{ connections, tables int }{
		{1, 1}, {18_000, 1}, {19_900, 1}, {19_901, 2}, {38_800, 2}, {38_801, 3}, {200_000, 11},
	} {
		tables := senderTables(tc.connections, limit)
		if tables != tc.tables {
			t.Errorf("%d connections take %d tables, not %d", tc.connections, tables, tc.tables)
		}
		c := senderConfig{Connections: tc.connections, Tables: tables}
		sum := 0
		for i := range tables {
			share := c.share(i)
			if share < 1 || tables > 1 && share > limit-tableSpare {
				t.Errorf("table %d of %d gets %d connections", i, tables, share)
			}
			sum += share
		}
		if sum != tc.connections {
			t.Errorf("%d of %d connections have a table", sum, tc.connections)
		}
	}
}

// The baton goes round in order, and never do two threads work at a time.
func TestBatonOrder(t *testing.T) {
	const threads, rounds = 5, 50
	b := newBaton(threads)
	var order []int // without a lock: the baton is the lock, as the race detector sees
	var working atomic.Int32
	for i := range threads {
		go b.serve(i, func(frame []byte) error {
			if working.Add(1) != 1 {
				t.Error("two threads work at a time")
			}
			order = append(order, int(frame[0])*threads+i)
			working.Add(-1)
			return nil
		})
	}
	for round := range rounds {
		if err := b.pass([]byte{byte(round)}); err != nil {
			t.Fatal(err)
		}
		if len(order) != (round+1)*threads {
			t.Fatalf("the baton is back after %d of %d threads", len(order)-round*threads, threads)
		}
	}
	if !slices.IsSorted(order) {
		t.Errorf("the threads worked in the order %v", order)
	}
}

// A thread that fails ends the round, and its error comes home.
func TestBatonError(t *testing.T) {
	b, broken := newBaton(3), errors.New("broken")
	var worked [3]int
	for i := range 3 {
		go b.serve(i, func([]byte) error {
			worked[i]++
			if i == 1 {
				return broken
			}
			return nil
		})
	}
	if err := b.pass(nil); err != broken {
		t.Errorf("the error is %v", err)
	}
	if worked != [3]int{1, 1, 0} {
		t.Errorf("the threads worked %v times", worked)
	}
}

// Threads with tables of their own deliver every message to everybody, too.
// The number of tables is given, since no test opens 20,000 connections.
func TestFloorSideInTurns(t *testing.T) {
	f := &sendsFlags{Connections: 70, Size: 256, InFlight: 2, Loops: 2, Each: 20 * time.Millisecond}
	p := testPlan(t, f.Connections)
	p.limit = tableSpare + 30 // senderTables: 3
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	s, err := startFloor(ctx, f, p, f.InFlight)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	measureTwice(ctx, t, f, p, s)
}
