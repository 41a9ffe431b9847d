package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// Both sides ping everybody at the pace that was asked for, and every ping is
// answered and read.
func TestPingsCommand(t *testing.T) {
	var r pingReport
	output := runFloor(t, "pings", "--connections", "600", "--rounds", "1", "--interval", "1s", "--each", "3s",
		"--beat", "100ms", "--gather", "5ms", "--acceptor-loops", "3", "--json")
	if err := json.Unmarshal(output, &r); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if len(r.Rounds) != 1 || r.AcceptorLoops != 3 || r.IntervalSeconds != 1 {
		t.Errorf("%+v", r)
	}
	for _, o := range []pingOutcome{r.Medians.Pinger, r.Medians.Server} {
		// How many of the 600 a second there are is a question of the host.
		if o.PerSecond <= 0 {
			t.Errorf("%g pings a second to 600 connections", o.PerSecond)
		}
	}
}

// The bare program counts what it sends and reads, and it is what the client
// got and answered.
func TestPinger(t *testing.T) {
	p := testPlan(t, 100)
	p.private, p.loops, p.ports = true, 3, 2
	for _, gather := range []time.Duration{0, time.Millisecond} {
		p.pings = pingPace{Interval: time.Second, Beat: 50 * time.Millisecond, Gather: gather}
		c, err := startContender(t.Context(), p, sidePinger, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer c.stop()
		if _, err := c.connect(t.Context(), wordOpen); err != nil {
			t.Fatal(err)
		}
		var own, byClient pinged
		// Until some were pinged twice, and the client has had as many pings as the
		// program had sent the last time, when the client was asked first.
		before := int64(0)
		for own.Pongs < 150 || byClient.Pings < before {
			before = own.Pings
			if byClient, own, err = c.countPings(t.Context()); err != nil {
				t.Fatal(err)
			}
			if own.Pongs > own.Pings || byClient.Pongs > byClient.Pings {
				t.Fatalf("%+v of the program, %+v of the client", own, byClient)
			}
			if err := pause(t.Context(), 20*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.accepts.tell("dance"); err != nil {
			t.Fatal(err)
		}
		if err := c.accepts.hearJSON(t.Context(), &own); err == nil || !strings.Contains(err.Error(), "no word") {
			t.Errorf("a word that is none: %v", err)
		}
		c.stop()
	}
}

func TestPingFlags(t *testing.T) {
	good := pingsFlags{Rounds: 1, Interval: time.Minute, Each: time.Second, Beat: time.Second}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for i, change := range []func(*pingsFlags){
		func(f *pingsFlags) { f.Rounds = 0 },
		func(f *pingsFlags) { f.AcceptorLoops = -1 },
		func(f *pingsFlags) { f.Interval = time.Millisecond },
		func(f *pingsFlags) { f.Each = 0 },
		func(f *pingsFlags) { f.Beat = pingBeatMin - 1 },
		func(f *pingsFlags) { f.Beat = 2 * f.Interval },
		func(f *pingsFlags) { f.Gather = f.Beat },
	} {
		f := good
		if change(&f); f.check() == nil {
			t.Errorf("change %d: %+v is allowed", i, f)
		}
	}
}

func TestPingReport(t *testing.T) {
	moment := func(second, acceptor, client, busy float64, pongs int64) pingMoment {
		return pingMoment{at: time.Unix(0, 0).Add(time.Duration(second * 1e9)), acceptor: acceptor, client: client, busy: busy, pinged: pinged{Pongs: pongs}}
	}
	r := pingReport{Cores: 2}
	for _, acceptor := range []float64{0.2, 0.4, 0.3} {
		floor, err := outcomeOfPings(moment(10, 1, 1, 5, 1000), moment(20, 1.1, 1.2, 5.4, 11_000))
		if err != nil {
			t.Fatal(err)
		}
		server, err := outcomeOfPings(moment(10, 1, 1, 5, 1000), moment(20, 1+acceptor, 1.2, 8.5, 11_000))
		if err != nil {
			t.Fatal(err)
		}
		r.Rounds = append(r.Rounds, pingRound{Pinger: floor, Server: server})
	}
	r.conclude()
	p, s := r.Medians.Pinger, r.Medians.Server
	if !near(p.PerSecond, 1000) || !near(p.AcceptorMicros, 10) || !near(p.ClientMicros, 20) || !near(p.OtherCores, 0.01) ||
		!near(s.AcceptorCores, 0.03) || !near(s.AcceptorMicros, 30) || !near(r.RatioMedian, 3) {
		t.Errorf("%+v", r)
	}
	var out bytes.Buffer
	r.Rounds = r.Rounds[:1]
	r.printRound(&out)
	r.print(&out)
	for _, wanted := range []string{"1       pinger      1000      10.0      20.0    0.010    0.020    0.010  nobody", "the host, by others", "ratio 3.00"} {
		if !strings.Contains(out.String(), wanted) {
			t.Errorf("%q is not in\n%s", wanted, out.String())
		}
	}
	full := pingOutcome{AcceptorCores: 0.9, ClientCores: 0.9, OtherCores: 0.1}
	if text := full.saturated(2); text != "the host" {
		t.Errorf("a full host: %s", text)
	}
	if _, err := outcomeOfPings(moment(10, 1, 1, 5, 1000), moment(20, 1, 1, 5, 1000)); err == nil {
		t.Error("a run without pings has a result")
	}
}
