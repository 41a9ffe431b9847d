package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"c10m/bench/report"
	"c10m/internal/child"
)

// A test is one run of the client.
type test struct {
	name      string
	arguments []string // of 10m-client, the subcommand first
	publishes bool
	phase     string // in which the server's processor time counts
}

func (t test) id() string { return t.name }

// scenarios are what is measured. One message a second is what a sweep over
// everybody takes with time left over, on the slowest of the servers; so latency
// there is of a server that keeps up.
var scenarios = []test{
	{"connect", []string{"connect"}, false, "holding"},
	{"fanout", []string{"fanout", "--messages-rate", "1"}, true, "measuring"},
	{"saturate-1", []string{"saturate", "--in-flight", "1"}, true, "measuring"},
	{"saturate-8", []string{"saturate", "--in-flight", "8"}, true, "measuring"},
	{"mixed", []string{"mixed", "--messages-rate", "1"}, true, "measuring"},
}

// An outcome is what came of a test of a server.
type outcome struct {
	Server   string `json:"server"`
	Scenario string `json:"scenario"`
	Round    int    `json:"round"`
	// Reason is why it failed; the figures are not to be used then.
	Reason        string         `json:"reason,omitempty"`
	MemoryPerConn float64        `json:"server_bytes_per_conn"` // all processes of the server
	ServerCores   float64        `json:"server_cores"`          // while idling, or while messages flow
	Result        *report.Result `json:"result,omitempty"`
}

// measure starts a server, runs the client, and ends both.
func measure(ctx context.Context, f *flags, server contender, t test) (o outcome) {
	o = outcome{Server: server.name, Scenario: t.name}
	s, err := newStage(ctx, f)
	if err != nil {
		o.fail("cannot be started: %v", err)
		return o
	}
	defer s.stop()
	if err := server.start(s); err != nil {
		o.fail("cannot be started: %v", err)
		return o
	}
	w := startWatch(s.server.PID)
	result, words := s.runClient(f, server.dialect, t)
	readings := w.stop()
	o.Result = result
	// From what is worst to what is least: a server that died also lost what
	// was under way.
	switch died := s.server.Died(); {
	case died != nil:
		o.fail("the server ended: %v", died)
	case result == nil:
		o.fail("%s", words)
	case result.Connections.Opened < result.Connections.Wanted:
		o.fail("only %d of %d connections could be made; %s", result.Connections.Opened, result.Connections.Wanted, result.Connections.Problem)
	case result.Fault != "" && words != "":
		o.fail("%s; %s", result.Fault, words)
	case result.Fault+words != "":
		o.fail("%s", result.Fault+words)
	}
	if result != nil {
		o.used(readings, t.phase)
		result.Samples = nil // they are many, and the figures are taken from them
	}
	return o
}

func (o *outcome) fail(format string, arguments ...any) {
	o.Reason = strings.TrimSpace(strings.TrimRight(fmt.Sprintf(format, arguments...), "; \n"))
	if len(o.Reason) > reasonBytesMax {
		o.Reason = strings.ToValidUTF8(o.Reason[:reasonBytesMax], "") + " ..."
	}
}

// used takes the server's cost from the readings of a phase.
func (o *outcome) used(readings []reading, phase string) {
	var seconds []float64
	for _, sample := range o.Result.Samples {
		if sample.Phase == phase {
			seconds = append(seconds, sample.Seconds)
		}
	}
	if phase == "holding" && len(seconds) > idleSkipped {
		seconds = seconds[idleSkipped:]
	}
	if len(seconds) < 2 {
		return
	}
	at := func(t float64) time.Time { return o.Result.Started.Add(time.Duration(t * float64(time.Second))) }
	from, to := at(seconds[0]), at(seconds[len(seconds)-1])
	o.ServerCores, _ = cores(readings, from, to)
	if open := o.Result.Connections.Open; open > 0 {
		o.MemoryPerConn = (float64(memoryAt(readings, to)) - float64(readings[0].memory)) / float64(open)
	}
}

// runClient runs 10m-client to its end. words is what kept it from measuring.
func (s *stage) runClient(f *flags, dialect string, t test) (result *report.Result, words string) {
	arguments := append([]string{}, t.arguments...)
	arguments = append(arguments, "127.0.0.1", fmt.Sprint(f.Connections), "--first-port", fmt.Sprint(s.port),
		"--dialect", dialect, "--timeout", handshakeTimeout.String(), "--server-pid", fmt.Sprint(s.server.PID), "--json")
	if t.publishes {
		arguments = append(arguments, "--bus", local(s.bus), "--size", fmt.Sprint(f.Size), "--duration", f.Duration.String())
	} else {
		arguments = append(arguments, "--hold", f.Duration.String())
	}
	// The client has limits of its own, so this one is for when it hangs.
	limit := f.Duration + clientSlack + time.Duration(f.Connections/connectsPerSecondMin)*time.Second
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	var out bytes.Buffer
	command := exec.CommandContext(ctx, filepath.Join(s.bin, "10m-client"), arguments...)
	command.Stdout = &out
	client, err := child.Start(command, child.Kill)
	if err != nil {
		return nil, err.Error()
	}
	defer client.Stop()
	<-client.Ended()
	if ctx.Err() != nil {
		return nil, fmt.Sprintf("not done after %v", limit)
	}
	words = lastWords(client.Output())
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		if words == "" {
			words = fmt.Sprintf("the client printed no result: %v", err)
		}
		return nil, words
	}
	return result, words
}

// lastWords are the client's own about what went wrong, without its progress.
func lastWords(output string) (words string) {
	for line := range strings.Lines(output) {
		if rest, found := strings.CutPrefix(line, "10m-client: "); found {
			words = strings.TrimSpace(rest)
		}
	}
	return words
}
