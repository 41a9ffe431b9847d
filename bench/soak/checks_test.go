package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"c10m/bench/load"
	"c10m/bench/report"
)

// goodEvidence is of a soak in which all went well: one fault of 20 messages,
// 12 of which are lost.
func goodEvidence() *evidence {
	group := func(name string, steady bool, wanted, left int, lost uint64) groupEvidence {
		s := load.Snapshot{Wanted: wanted}
		s.Open, s.Left, s.Returned, s.Stamped, s.Lost = wanted, left, left, 1000, lost
		return groupEvidence{name: name, steady: steady, seen: s}
	}
	killed := fault{faultKind: faultKinds[0], begin: position{10, 100, 10, 1}, end: position{15, 110, 12, 4}}
	e := &evidence{
		over: 10 * time.Minute,
		groups: []groupEvidence{group(groupFanout, true, 60, 0, 3*60), group(groupOwn, true, 30, 0, 6),
			group(groupBulk, true, 10, 0, 1*10), group(groupChurn, false, 20, 500, 50)},
		published: position{fanout: 100, own: 1000, bulk: 50, marks: 10},
		nobody:    11,
		fanout:    testimony{seen: 97, last: 100, missing: []span{{12, 14}}},
		marks:     testimony{seen: 8, last: 10, missing: []span{{2, 3}}},
		faults:    []fault{killed},
		garbage:   map[string]garbageCount{"a TLS hello": {Sent: 7, Answered: 7}, "half a request": {Sent: 3}},
		slowLives: 5, scrapes: 9, healthy: true,
	}
	e.start = state{metrics: metrics{"go_goroutines": 12, "go_memstats_heap_objects": 3000}, descriptors: map[string]int{"socket": 5, "/dev/null": 2}}
	e.end = state{descriptors: maps.Clone(e.start.descriptors), metrics: metrics{
		"go_goroutines": 12, "go_memstats_heap_objects": 3500,
		"c10m_bus_messages_total": 1160 - 12, `c10m_bus_dropped_total{reason="refused"}`: 0,
		"c10m_bus_gaps_total": 1, "c10m_bus_reconnects_total": 1,
		"c10m_connections_accepted_total": 40, `c10m_closes_total{reason="client_gone"}`: 33, `c10m_closes_total{reason="request_malformed"}`: 7,
		"c10m_accept_pauses_total": 0, "c10m_loops": 2,
	}}
	for _, level := range levels {
		e.end.metrics["c10m_"+level] = 0
	}
	for i := range 100 {
		e.samples = append(e.samples, report.Sample{Seconds: float64(6 * i), ServerResident: uint64(30<<20 + i%7*100_000)})
	}
	return e
}

func failing(e *evidence) (names []string) {
	for _, c := range e.check() {
		if !c.Pass {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestGoodSoakPasses(t *testing.T) {
	e := goodEvidence()
	for _, c := range e.check() {
		if !c.Pass {
			t.Errorf("%s: got %s, wanted %s", c.Name, c.Got, c.Wanted)
		}
	}
}

// Each fault of a server fails the check that is about it, and no other.
func TestEachCheckFindsItsFault(t *testing.T) {
	for _, test := range []struct {
		what   string
		change func(*evidence)
		failed string // names of checks
	}{
		{"nobody churned", func(e *evidence) { e.groups[3].seen.Left, e.groups[3].seen.Returned = 0, 0 }, "took place"},
		{"no fault", func(e *evidence) { e.faults = nil }, "took place, losses, losses, counted, gaps"},
		{"a scrape failed", func(e *evidence) { e.unscraped = 1 }, "took place"},
		{"a client was cut off", func(e *evidence) { e.groups[0].seen.Dropped = 1 }, "connections: fan-out"},
		{"a client was closed", func(e *evidence) { e.groups[2].seen.Closes = map[uint16]uint64{1011: 1} }, "connections: bulk"},
		{"a client was not let back", func(e *evidence) { e.groups[3].seen.Returned-- }, "connections: churn"},
		{"a duplicate", func(e *evidence) { e.groups[1].seen.Duplicated = 1 }, "order: own channels"},
		{"out of order", func(e *evidence) { e.groups[3].seen.OutOfOrder = 1 }, "order: churn"},
		{"a changed byte", func(e *evidence) { e.groups[0].seen.Corrupt = 1 }, "order: fan-out"},
		{"the witness saw one twice", func(e *evidence) { e.fanout.wrong = 1 }, "witnesses"},
		{"one connection missed one more", func(e *evidence) { e.groups[0].seen.Lost++ }, "all or nobody"},
		{"one connection lacks the tail", func(e *evidence) { e.groups[0].missing = 1 }, "all or nobody"},
		{"one of the readers beside slow ones missed one", func(e *evidence) { e.groups[2].seen.Lost++ }, "all or nobody"},
		{"those that come and go missed more than was lost", func(e *evidence) { e.groups[3].seen.Lost = 61 }, "all or nobody"},
		{"one was lost outside of faults", func(e *evidence) { e.fanout.missing = []span{{12, 13}, {50, 50}} }, "losses"},
		{"one was lost just before the fault", func(e *evidence) { e.fanout.missing = []span{{10, 12}} }, "losses"},
		{"more to one were lost than were published in faults", func(e *evidence) {
			e.groups[1].seen.Lost = 11
			e.end.metrics["c10m_bus_messages_total"] -= 5
		}, "losses, counted"},
		{"a message that nobody can have got was got", func(e *evidence) { e.nobody = 13 }, "losses, counted"},
		{"the server lost one behind the bus", func(e *evidence) { e.end.metrics["c10m_bus_messages_total"]++ }, "messages at the server"},
		{"the bus dropped one", func(e *evidence) { e.end.metrics[`c10m_bus_dropped_total{reason="refused"}`] = 1 }, "messages at the server"},
		{"a gap was not noticed", func(e *evidence) { e.end.metrics["c10m_bus_gaps_total"] = 0 }, "gaps"},
		{"a gap was counted twice", func(e *evidence) { e.end.metrics["c10m_bus_gaps_total"] = 2 }, "gaps"},
		{"red", func(e *evidence) { e.healthy = false }, "health"},
		{"a close without a reason", func(e *evidence) { e.end.metrics[`c10m_closes_total{reason="client_gone"}`]-- }, "close reasons"},
		{"garbage without an answer", func(e *evidence) { e.garbage["a TLS hello"] = garbageCount{Sent: 7, Answered: 6} }, "garbage"},
		{"garbage that did not even connect", func(e *evidence) { e.garbage["half a request"] = garbageCount{Sent: 3, Failed: 1} }, "garbage"},
		{"garbage with another reason", func(e *evidence) {
			e.end.metrics[`c10m_closes_total{reason="request_malformed"}`] = 6
			e.end.metrics[`c10m_closes_total{reason="client_gone"}`] = 34
		}, "garbage"},
		{"accepting paused", func(e *evidence) { e.end.metrics["c10m_accept_pauses_total"] = 1 }, "accepts"},
		{"a channel is left", func(e *evidence) { e.end.metrics["c10m_channels"] = 1 }, "nothing left"},
		{"pinned bytes are left", func(e *evidence) { e.end.metrics["c10m_pinned_frame_bytes"] = 256 }, "nothing left"},
		{"a level is not exported", func(e *evidence) { delete(e.end.metrics, "c10m_logs") }, "nothing left"},
		{"a descriptor leaked", func(e *evidence) { e.end.descriptors["socket"]++ }, "descriptors"},
		{"a loop made its late descriptor", func(e *evidence) { e.end.descriptors[lateDescriptors] = 2 }, ""},
		{"a loop made it again", func(e *evidence) { e.end.descriptors[lateDescriptors] = 3 }, "descriptors"},
		{"a file is open that was not", func(e *evidence) { e.end.descriptors["/etc/hosts"] = 1 }, "descriptors"},
		{"the pool has one connection less", func(e *evidence) { e.end.descriptors["socket"]-- }, ""},
		{"sockets are missing", func(e *evidence) { e.end.descriptors["socket"] -= 2 }, "descriptors"},
		{"a descriptor is missing", func(e *evidence) { e.end.descriptors["/dev/null"]-- }, "descriptors"},
		{"a goroutine leaked", func(e *evidence) { e.end.metrics["go_goroutines"]++ }, "goroutines"},
		{"an object for each that churned leaked", func(e *evidence) { e.end.metrics["go_memstats_heap_objects"] += 100_000 }, "heap objects"},
		{"memory grows", func(e *evidence) {
			for i := range e.samples {
				e.samples[i].ServerResident += uint64(200_000 * i)
			}
		}, "memory trend"},
		{"the server's memory is not known", func(e *evidence) { e.samples[99].ServerResident = 0 }, "memory trend"},
		{"no samples", func(e *evidence) { e.samples = nil }, "memory trend"},
	} {
		e := goodEvidence()
		test.change(e)
		if got := strings.Join(failing(e), ", "); got != test.failed {
			t.Errorf("%s: failed %q, wanted %q", test.what, got, test.failed)
		}
	}
}

// A freeze that is too short to lose anything excuses no loss; the same with
// the publisher cut off does.
func TestFreezeExcusesNothing(t *testing.T) {
	e := goodEvidence()
	at := slices.IndexFunc(faultKinds, func(k faultKind) bool { return k.name == "redis-frozen" })
	e.faults[0].faultKind = faultKinds[at]
	e.end.metrics["c10m_bus_gaps_total"], e.end.metrics["c10m_bus_reconnects_total"] = 0, 0
	if got := strings.Join(failing(e), ", "); got != "losses, losses, counted" {
		t.Errorf("failed %q", got)
	}
	e.faults[0].drops = 1
	if got := failing(e); got != nil {
		t.Errorf("failed %q", got)
	}
}

func TestSlope(t *testing.T) {
	line := func(perMinute float64, n int) (samples []report.Sample) {
		for i := range n {
			seconds := 3000 + 10*float64(i)
			samples = append(samples, report.Sample{Seconds: seconds, ServerResident: uint64(1e8 + perMinute*seconds/60)})
		}
		return samples
	}
	resident := func(s *report.Sample) float64 { return float64(s.ServerResident) }
	for _, perMinute := range []float64{0, 60_000, -60_000} {
		if got := slope(line(perMinute, 100), resident); got < perMinute-10 || got > perMinute+10 {
			t.Errorf("a line of %g a minute has slope %g", perMinute, got)
		}
	}
	if got := slope(line(60_000, 1), resident); got != 0 {
		t.Errorf("the slope of a point is %g", got)
	}
	if got := slope(nil, resident); got != 0 {
		t.Errorf("the slope of nothing is %g", got)
	}
	// Over an hour, 5 MiB more have to be too much, and so have 8 bytes for each of
	// 200 connections a second.
	for _, perMinute := range []float64{5 << 20 / 60, 8 * 200 * 60} {
		if most := slopeMax(30 * time.Minute); most >= perMinute {
			t.Errorf("%g bytes a minute would pass over half an hour, since %g may", perMinute, most)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	text := "# HELP c10m_closes_total x\n# TYPE c10m_closes_total counter\nc10m_closes_total{reason=\"client_gone\"} 3\n" +
		"c10m_closes_total{reason=\"client_closed\"} 4\nc10m_closes_total_other 9\ngo_goroutines 1.2e+01\n"
	m, err := parseMetrics(strings.NewReader(text))
	if err != nil || m.sum("c10m_closes_total") != 7 || m["go_goroutines"] != 12 || m[`c10m_closes_total{reason="client_gone"}`] != 3 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := parseMetrics(strings.NewReader("this is no metric\n")); err == nil {
		t.Error("no error for what is no metric")
	}
}

func TestWitnessNotes(t *testing.T) {
	w := &witness{}
	for _, n := range []uint64{1, 2, 5, 6, 6, 4, 9} {
		w.note(n, true)
	}
	w.note(0, false)
	told := w.told()
	if told.seen != 8 || told.wrong != 3 || told.last != 9 || !slices.Equal(told.missing, []span{{3, 4}, {7, 8}}) {
		t.Errorf("%+v", told)
	}
	if lost := told.lost(12); lost != 7 {
		t.Errorf("%d lost of 12", lost)
	}
}
