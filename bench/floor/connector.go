package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"time"

	"c10m/bench/load"
)

// A clientConfig is the argument of the client's role.
type clientConfig struct {
	FirstPort   int
	PerPort     int
	Connections int
	Loops       int
	Raw         bool // only connect
}

// opened is what the client says when all connections are open.
type opened struct {
	StartedNanos int64 // of load.Nanos
	OpenNanos    int64
	Loops        int
	Retries      int
}

// The words that the client takes: to open all connections, to drop them and
// open them again.
const (
	wordOpen  = "open"
	wordStorm = "storm"
	// wordPings asks how many pings and pongs there were; no connection changes.
	wordPings = "pings"
)

// clientMain is the load client as a process of its own, so that its memory
// is as fresh on each side as the acceptor's. It resets its connections when
// its input ends.
func clientMain(arguments []string) error {
	var config clientConfig
	if err := parseRole(arguments, &config); err != nil {
		return err
	}
	output := json.NewEncoder(os.Stdout)
	var client *load.Client
	for words := bufio.NewScanner(os.Stdin); words.Scan(); {
		started := load.Nanos()
		switch word := words.Text(); word {
		case wordOpen:
		case wordStorm:
			client.Stop()
		case wordPings:
			s := client.Snapshot()
			if err := output.Encode(pinged{int64(s.Pings), int64(s.Pongs)}); err != nil {
				return err
			}
			continue
		default:
			return fmt.Errorf("%q is no word of the client", word)
		}
		var err error
		if client, err = load.Start(config.load()); err != nil {
			return err
		}
		all, err := awaitOpen(client, started)
		if err != nil {
			return err
		}
		if err := output.Encode(all); err != nil {
			return err
		}
	}
	if client != nil {
		client.Stop()
	}
	return nil
}

func (c *clientConfig) load() load.Config {
	config := load.Config{
		Spread: load.Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: c.FirstPort,
			PerPort: c.PerPort, Connections: c.Connections},
		Channel: "floor",
		Retries: 3,
		Loops:   c.Loops,
		Reset:   true,
	}
	if c.Raw {
		config.Dialect = load.Bare
	}
	return config
}

// awaitOpen looks the more often the nearer the end is, by the rate up to
// then: the end is found within a few milliseconds, and the client's loops are
// left alone before it.
func awaitOpen(client *load.Client, started int64) (opened, error) {
	for {
		s := client.Snapshot()
		now := load.Nanos()
		if s.Decided() {
			if s.Open < s.Wanted {
				return opened{}, fmt.Errorf("%d of %d connections are open: failures %v %s", s.Open, s.Wanted, s.Failures, s.Fault())
			}
			return opened{StartedNanos: started, OpenNanos: now, Loops: s.Loops, Retries: s.Retries}, nil
		}
		perOne := float64(now-started) / float64(max(s.Opened, 1))
		left := time.Duration(perOne * float64(s.Wanted-s.Opened))
		time.Sleep(min(max(left/4, pollPauseMin), pollPauseMax))
	}
}
