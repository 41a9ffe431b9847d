package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"c10m/bench/load"
	"c10m/bench/report"
)

// evidence is all that the checks look at. They ask nobody else.
type evidence struct {
	over       time.Duration // of the soak
	groups     []groupEvidence
	published  position
	nobody     uint64 // messages that certainly reached no server
	fanout     testimony
	marks      testimony
	faults     []fault
	start, end state
	garbage    map[string]garbageCount
	slowLives  uint64
	slowFailed uint64
	slowWhy    string
	samples    []report.Sample
	scrapes    int
	unscraped  int // scrapes that failed
	healthy    bool
	ended      bool // the server ended by itself
}

// groupEvidence is what a group of connections saw until the end.
type groupEvidence struct {
	name    string
	steady  bool
	seen    load.Snapshot
	missing uint64
}

// lost is over all connections of the group.
func (g *groupEvidence) lost() uint64 { return g.seen.Lost + g.missing }

// check makes all checks. Each has a name, what is wanted and why, and what was
// found.
func (e *evidence) check() (criteria []report.Criterion) {
	criteria = append(criteria, e.checkActivity())
	for i := range e.groups {
		criteria = append(criteria, checkConnections(&e.groups[i]), checkOrder(&e.groups[i]))
	}
	criteria = append(criteria, e.checkWitnesses(), e.checkEverybodyAlike(), e.checkLossInFaults(), e.checkLossBounds(),
		e.checkMessages(), e.checkGaps(), e.checkHealth(), e.checkCloses(), e.checkGarbage(), e.checkAccepts())
	criteria = append(criteria, e.checkNothingLeft(), e.checkDescriptors(),
		e.checkNoMore("goroutines", "go_goroutines", goroutinesMargin),
		e.checkNoMore("heap objects", heapObjectsMetric, heapObjectsMargin),
		e.checkTrend())
	return criteria
}

// checkActivity fails a soak in which something did not take place.
func (e *evidence) checkActivity() report.Criterion {
	c := report.Criterion{Name: "took place", Wanted: "churn, messages of all kinds, slow readers, garbage, faults, scrapes", Pass: true}
	var parts []string
	note := func(n uint64, what string) {
		parts = append(parts, fmt.Sprintf("%d %s", n, what))
		c.Pass = c.Pass && n > 0
	}
	churned := 0
	for _, g := range e.groups {
		churned += g.seen.Left
	}
	sent := uint64(0)
	for _, g := range e.garbage {
		sent += g.Sent
	}
	note(uint64(churned), "came and went")
	note(e.published.fanout, "to all")
	note(e.published.own, "to one")
	note(e.published.bulk, "long ones")
	note(e.slowLives, "slow readers")
	note(sent, "garbage")
	note(uint64(len(e.faults)), "faults")
	note(uint64(e.scrapes), "scrapes")
	c.Got = strings.Join(parts, ", ")
	if e.ended {
		c.Pass, c.Got = false, "10m-server ended; "+c.Got
	}
	if e.unscraped > 0 || e.slowFailed > 0 {
		c.Pass, c.Got = false, fmt.Sprintf("%s; %d scrapes and %d slow readers failed %s", c.Got, e.unscraped, e.slowFailed, e.slowWhy)
	}
	return c
}

// checkConnections: nobody was refused, cut off or answered wrongly, and who
// left came back.
func checkConnections(g *groupEvidence) report.Criterion {
	s := &g.seen
	c := report.Criterion{Name: "connections: " + g.name, Wanted: fmt.Sprintf("%d open at the end, none cut off", s.Wanted)}
	c.Got = fmt.Sprintf("%d open, %d came back of %d that left", s.Open, s.Returned, s.Left)
	bad := s.Dropped + uint64(s.GaveUp)
	for _, n := range s.Closes {
		bad += n
	}
	for _, n := range s.Broken {
		bad += n
	}
	c.Pass = bad == 0 && s.Open == s.Wanted && s.Returned == s.Left
	if bad > 0 {
		c.Got += "; " + s.Fault()
	}
	return c
}

// checkOrder: whatever happened, no message came twice, late or changed.
func checkOrder(g *groupEvidence) report.Criterion {
	s := &g.seen
	return report.Criterion{Name: "order: " + g.name, Wanted: "none twice, out of order or changed",
		Got:  fmt.Sprintf("%d delivered; %d twice, %d out of order, %d changed", s.Delivered(), s.Duplicated, s.OutOfOrder, s.Corrupt),
		Pass: s.Delivered() > 0 && s.Duplicated+s.OutOfOrder+s.Corrupt == 0}
}

func (e *evidence) checkWitnesses() report.Criterion {
	c := report.Criterion{Name: "witnesses", Wanted: "in order, to the end",
		Got: fmt.Sprintf("%d messages and %d marks, %d and %d wrong", e.fanout.seen, e.marks.seen, e.fanout.wrong, e.marks.wrong)}
	c.Pass = e.fanout.wrong+e.marks.wrong == 0 && e.fanout.last == e.published.fanout && e.marks.last == e.published.marks
	for _, t := range []*testimony{&e.fanout, &e.marks} {
		if t.err != nil {
			c.Pass, c.Got = false, c.Got+"; cut off: "+t.err.Error()
		}
	}
	return c
}

// lostMessages are those of each kind that the server never got, as the
// connections tell.
func (e *evidence) lostMessages() (p position) {
	p.fanout, p.marks = e.fanout.lost(e.published.fanout), e.marks.lost(e.published.marks)
	for i := range e.groups {
		g := &e.groups[i]
		switch g.name {
		case groupOwn:
			p.own = g.lost()
		case groupBulk:
			p.bulk = g.lost() / uint64(max(g.seen.Wanted, 1))
		}
	}
	return p
}

// checkEverybodyAlike: a message that the server got went to everybody, and one
// that it did not get to nobody. Those that come and go missed at most as much.
func (e *evidence) checkEverybodyAlike() report.Criterion {
	c := report.Criterion{Name: "all or nobody", Wanted: "each message at every subscriber or, lost before the server, at none", Pass: true}
	lost := e.lostMessages()
	var parts []string
	for i := range e.groups {
		g := &e.groups[i]
		n, connections := g.lost(), uint64(g.seen.Wanted)
		switch g.name {
		case groupFanout:
			c.Pass = c.Pass && n == lost.fanout*connections
		case groupBulk:
			c.Pass = c.Pass && n == lost.bulk*connections
		case groupChurn:
			c.Pass = c.Pass && n <= lost.fanout*connections
		}
		parts = append(parts, fmt.Sprintf("%s %d", g.name, n))
	}
	c.Got = fmt.Sprintf("missed: %s; the witness missed %d to all", strings.Join(parts, ", "), lost.fanout)
	return c
}

// checkLossInFaults: every message to all that is missing was published between
// the marks around a fault that may lose some.
func (e *evidence) checkLossInFaults() report.Criterion {
	c := report.Criterion{Name: "losses", Wanted: "each during a fault that interrupts the bus"}
	outside, inside := uint64(0), uint64(0)
	missing := e.fanout.missing
	if e.fanout.last < e.published.fanout {
		missing = append(slices.Clip(missing), span{e.fanout.last + 1, e.published.fanout})
	}
	for _, s := range missing {
		for n := s.first; n <= s.last; n++ {
			if slices.ContainsFunc(e.faults, func(f fault) bool { return f.mayLose() && f.begin.fanout < n && n <= f.end.fanout }) {
				inside++
			} else {
				outside++
			}
		}
	}
	c.Got = fmt.Sprintf("%d messages to all during faults, %d outside of them", inside, outside)
	c.Pass = outside == 0
	return c
}

// atRisk is how many messages were published during faults that may lose some.
func (e *evidence) atRisk() (p position) {
	for i := range e.faults {
		if f := &e.faults[i]; f.mayLose() {
			d := f.end.minus(f.begin)
			p = position{p.fanout + d.fanout, p.own + d.own, p.bulk + d.bulk, p.marks + d.marks}
		}
	}
	return p
}

// checkLossBounds is the same for all kinds, by their numbers.
func (e *evidence) checkLossBounds() report.Criterion {
	lost, risk := e.lostMessages(), e.atRisk()
	c := report.Criterion{Name: "losses, counted",
		Wanted: fmt.Sprintf("%d, that the bus had nobody for, up to %d, published during faults", e.nobody, risk.total())}
	c.Got = fmt.Sprintf("%d of %d: %d to all, %d to one, %d long ones, %d marks",
		lost.total(), e.published.total(), lost.fanout, lost.own, lost.bulk, lost.marks)
	c.Pass = lost.total() >= e.nobody && lost.fanout <= risk.fanout && lost.own <= risk.own && lost.bulk <= risk.bulk && lost.marks <= risk.marks
	return c
}

// checkMessages: what the server says that it got is what the connections saw.
func (e *evidence) checkMessages() report.Criterion {
	lost := e.lostMessages()
	got := e.end.metrics["c10m_bus_messages_total"]
	wanted := e.published.total() - lost.total()
	dropped := e.end.metrics.sum("c10m_bus_dropped_total") + e.end.metrics.sum("c10m_messages_refused_total")
	return report.Criterion{Name: "messages at the server", Wanted: fmt.Sprintf("%d, published and not lost; none dropped", wanted),
		Got: fmt.Sprintf("%.0f; %.0f dropped", got, dropped), Pass: got == float64(wanted) && dropped == 0}
}

// checkGaps: the server noticed every interruption of its subscription, and
// none that was not.
func (e *evidence) checkGaps() report.Criterion {
	inflicted := 0
	for i := range e.faults {
		if e.faults[i].gap {
			inflicted++
		}
	}
	gaps, again := e.end.metrics["c10m_bus_gaps_total"], e.end.metrics["c10m_bus_reconnects_total"]
	return report.Criterion{Name: "gaps", Wanted: fmt.Sprintf("%d, the faults that interrupt the subscription; as many reconnects", inflicted),
		Got: fmt.Sprintf("%.0f; %.0f reconnects", gaps, again), Pass: gaps == float64(inflicted) && again == gaps}
}

func (e *evidence) checkHealth() report.Criterion {
	c := report.Criterion{Name: "health", Wanted: "green at the end", Got: "green", Pass: e.healthy}
	if !e.healthy {
		c.Got = "red"
	}
	return c
}

// checkCloses: every connection that was accepted has ended, for one reason.
func (e *evidence) checkCloses() report.Criterion {
	accepted, closes := e.end.metrics["c10m_connections_accepted_total"], e.end.metrics.sum("c10m_closes_total")
	var reasons []string
	for _, line := range slices.Sorted(maps.Keys(e.end.metrics)) {
		if reason, found := strings.CutPrefix(line, `c10m_closes_total{reason="`); found && e.end.metrics[line] > 0 {
			reasons = append(reasons, fmt.Sprintf("%s %.0f", strings.TrimSuffix(reason, `"}`), e.end.metrics[line]))
		}
	}
	return report.Criterion{Name: "close reasons", Wanted: fmt.Sprintf("%.0f, one for each connection accepted", accepted),
		Got: fmt.Sprintf("%.0f: %s", closes, strings.Join(reasons, ", ")), Pass: accepted > 0 && closes == accepted}
}

// checkGarbage: each kind was ended with its reason. Kinds that share one are
// taken together.
func (e *evidence) checkGarbage() report.Criterion {
	c := report.Criterion{Name: "garbage", Wanted: "each ended by the server, with its reason", Pass: true}
	sent, answered, shared := map[string]uint64{}, map[string]uint64{}, map[string]bool{}
	total, waited := uint64(0), uint64(0)
	for _, kind := range garbageKinds {
		n := e.garbage[kind.name]
		total += n.Sent
		if n.Failed > 0 {
			c.Pass = false
			c.Got += fmt.Sprintf("%s: %d could not be sent; ", kind.name, n.Failed)
		}
		if kind.reason == "" {
			continue
		}
		sent[kind.reason] += n.Sent
		answered[kind.reason] += n.Answered
		waited += n.Sent
		shared[kind.reason] = shared[kind.reason] || kind.shared
		if n.Answered != n.Sent {
			c.Pass = false
			c.Got += fmt.Sprintf("%s: %d of %d answered; ", kind.name, n.Answered, n.Sent)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(sent)) {
		counted := uint64(e.end.metrics[fmt.Sprintf("c10m_closes_total{reason=%q}", reason)])
		if counted < answered[reason] || counted > sent[reason] && !shared[reason] {
			c.Pass = false
			c.Got += fmt.Sprintf("%s: %d counted of %d; ", reason, counted, sent[reason])
		}
	}
	c.Got += fmt.Sprintf("%d sent, of which %d waited for their answer", total, waited)
	return c
}

func (e *evidence) checkAccepts() report.Criterion {
	c := report.Criterion{Name: "accepts", Wanted: "no pause, refusal or unexpected error", Pass: true}
	for _, name := range []string{"accept_pauses", "accept_refused", "accept_unexpected"} {
		n := e.end.metrics["c10m_"+name+"_total"]
		c.Pass = c.Pass && n == 0
		c.Got += fmt.Sprintf("%s %.0f, ", name, n)
	}
	c.Got = strings.TrimSuffix(c.Got, ", ")
	return c
}

// levels are what a server without clients has none of.
var levels = []string{"connections", "connections_open", "connections_lingering", "handshakes_unfinished",
	"channels", "members", "logs", "log_bytes", "blocked_members", "pinned_frame_bytes"}

// left are the levels that are not 0, or not there at all.
func left(m metrics) (list []string) {
	for _, name := range levels {
		if n, found := m["c10m_"+name]; !found {
			list = append(list, name+" is not exported")
		} else if n != 0 {
			list = append(list, fmt.Sprintf("%s %.0f", name, n))
		}
	}
	return list
}

func (e *evidence) checkNothingLeft() report.Criterion {
	c := report.Criterion{Name: "nothing left", Wanted: strings.ReplaceAll(strings.Join(levels, ", "), "_", " ") + ": 0", Got: "0"}
	list := left(e.end.metrics)
	if c.Pass = len(list) == 0; !c.Pass {
		c.Got = strings.Join(list, ", ")
	}
	return c
}

// lateDescriptors is a kind of which a loop makes one when it first needs it,
// for the naps between its pings, and keeps it.
const lateDescriptors = "anon_inode:[eventpoll]"

// pooledDescriptors is a kind of which one may be missing: the Redis client has a
// second connection in its pool if two things were said at once in the beginning, and
// after Redis was killed it has one until that happens again.
const pooledDescriptors = "socket"

// checkDescriptors: those of the main table are the same, kind by kind. Private
// tables are not visible from outside.
func (e *evidence) checkDescriptors() report.Criterion {
	text := func(kinds map[string]int) string {
		total, parts := 0, []string{}
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			total += kinds[kind]
			parts = append(parts, fmt.Sprintf("%d %s", kinds[kind], kind))
		}
		return fmt.Sprintf("%d (%s)", total, strings.Join(parts, ", "))
	}
	loops := int(e.end.metrics["c10m_loops"])
	same := len(e.start.descriptors) > 0
	for kind := range mergeKinds(e.start.descriptors, e.end.descriptors) {
		more := e.end.descriptors[kind] - e.start.descriptors[kind]
		same = same && (more == 0 || kind == lateDescriptors && more > 0 && more <= loops || kind == pooledDescriptors && more == -1)
	}
	return report.Criterion{Name: "descriptors",
		Wanted: fmt.Sprintf("%s, as at the start, and at most one more %s for each of %d loops, or one %s less", text(e.start.descriptors), lateDescriptors, loops, pooledDescriptors),
		Got:    text(e.end.descriptors), Pass: same}
}

// mergeKinds has the kinds of both.
func mergeKinds(a, b map[string]int) map[string]int {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]int{}
	}
	maps.Copy(all, b)
	return all
}

// checkNoMore compares a metric with what it was at the start.
func (e *evidence) checkNoMore(name, metric string, margin float64) report.Criterion {
	start, end := e.start.metrics[metric], e.end.metrics[metric]
	return report.Criterion{Name: name, Wanted: fmt.Sprintf("%.0f, as at the start, and at most %.0f more", start, margin),
		Got: fmt.Sprintf("%.0f", end), Pass: start > 0 && end <= start+margin}
}

// checkTrend looks at the resident memory over the second half.
func (e *evidence) checkTrend() report.Criterion {
	half := secondHalf(e.samples)
	most := slopeMax(e.over / 2)
	c := report.Criterion{Name: "memory trend",
		Wanted: fmt.Sprintf("at most %.0f KiB a minute over the second half, which are %.1f MiB", most/1024, most*e.over.Minutes()/2/(1<<20))}
	if len(half) < 3 {
		c.Got = "too few samples to tell"
		return c
	}
	rise := slope(half, func(s *report.Sample) float64 { return float64(s.ServerResident) })
	last := half[len(half)-1].ServerResident
	c.Got = fmt.Sprintf("%+.0f KiB a minute, %.1f MiB at last", rise/1024, float64(last)/(1<<20))
	c.Pass = last > 0 && rise <= most
	return c
}
