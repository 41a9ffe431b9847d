package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/internal/child"
)

var serverDir string // removed at the end

// serverProgram builds the server once for all tests.
var serverProgram = sync.OnceValues(func() (_ string, err error) {
	if serverDir, err = os.MkdirTemp("", "floor"); err != nil {
		return "", err
	}
	program := filepath.Join(serverDir, "10m-server")
	if output, err := exec.Command("go", "build", "-o", program, "c10m").CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the server: %w\n%s", err, output)
	}
	return program, nil
})

// runFloor runs the whole program and returns its standard output.
func runFloor(t *testing.T, arguments ...string) []byte {
	t.Helper()
	server, err := serverProgram()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	arguments = append([]string{asFloor}, append(arguments, "--server", server, "--first-port", strconv.Itoa(someFirstPort()))...)
	command := exec.CommandContext(ctx, os.Args[0], arguments...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", arguments, err, stderr.String())
	}
	return output
}

func TestSendsCommand(t *testing.T) {
	var r report
	output := runFloor(t, "--connections", "200", "--rounds", "1", "--each", "50ms", "--json")
	if err := json.Unmarshal(output, &r); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if len(r.Rounds) != 1 || r.Rounds[0].Floor.Messages == 0 || r.Rounds[0].Server.Messages == 0 || r.RatioMedian <= 0 {
		t.Errorf("%+v", r)
	}
}

// Both commands with all sides; with three loops each side has as many threads
// as was asked for.
func TestRivalCommands(t *testing.T) {
	for _, kind := range []string{connectsKind, stormKind} {
		var c comparison
		output := runFloor(t, kind, "--connections", "300", "--rounds", "2", "--exchange", "--acceptor-loops", "3", "--json")
		if err := json.Unmarshal(output, &c); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		if c.Kind != kind || len(c.Rounds) != 2 || c.AcceptorLoops != 3 || len(c.Medians) != 3 || len(c.Ratios) != 2 {
			t.Errorf("%+v", c)
		}
		for _, round := range c.Rounds {
			for side, o := range round {
				if o.Seconds <= 0 || o.PerSecond != 300/o.Seconds || o.ClientLoops < 1 {
					t.Errorf("%s %s: %+v", kind, side, o)
				}
				if resident := o.AcceptorResident > 1<<20 && o.ClientResident > 1<<20; resident != (kind == connectsKind) {
					t.Errorf("%s %s: memory %+v", kind, side, o)
				}
			}
		}
		if text := runFloor(t, kind, "--connections", "50", "--rounds", "1"); !strings.Contains(string(text), "median  server/bare") {
			t.Errorf("no ratio in\n%s", text)
		}
	}
}

// Descriptor tables of their own, and connections that end: the acceptor
// closes them, and counts those who come back.
func TestContenderWithPrivateTables(t *testing.T) {
	for _, side := range []string{sideBare, sideExchange} {
		p := testPlan(t, 200)
		p.private, p.loops, p.ports = true, 3, 2
		c, err := startContender(t.Context(), p, side, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer c.stop()
		for _, word := range []string{wordOpen, wordStorm, wordStorm} {
			if o, err := c.connect(t.Context(), word); err != nil || o.Seconds <= 0 || o.Retries != 0 {
				t.Errorf("%s %s: %+v, %v", side, word, o, err)
			}
		}
		client := c.client.Child
		c.stop()
		if c.acceptor.Died() == nil || client.Died() == nil {
			t.Errorf("%s: a process outlives its side", side)
		}
	}
}

// A full table is an error that says what to do, not a loop that spins.
func TestAcceptorTableFull(t *testing.T) {
	p := testPlan(t, 200)
	first, err := p.takePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	config, _ := json.Marshal(acceptorConfig{FirstPort: first, Ports: 1, Connections: 200, Loops: 1})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "/bin/sh", "-c", `ulimit -n 64; exec "$0" "$@"`, os.Args[0], acceptorRole, string(config))
	stdin, _ := command.StdinPipe()
	defer stdin.Close()
	c, err := child.Start(command, child.Kill)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if err := c.AwaitListener(ctx, loopback(first)); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		conn, err := net.Dial("tcp", loopback(first))
		if err != nil {
			break // it has ended
		}
		defer conn.Close()
	}
	select {
	case <-c.Ended():
	case <-ctx.Done():
	}
	if err := c.Died(); err == nil || !strings.Contains(err.Error(), "--acceptor-loops") {
		t.Errorf("the acceptor with a full table: %v", err)
	}
}

// The words of a partner that fails reach the operator.
func TestPartnerThatFails(t *testing.T) {
	p, err := startPartner(t.Context(), clientRole, clientConfig{FirstPort: 1, PerPort: 1, Connections: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer p.end()
	if err := p.tell(wordOpen); err != nil {
		t.Fatal(err)
	}
	var all opened
	if err := p.hearJSON(t.Context(), &all); err == nil || !strings.Contains(err.Error(), "ask for at least 1") {
		t.Errorf("the error is %v", err)
	}
}

func TestPlanPorts(t *testing.T) {
	p := testPlan(t, 10)
	p.common.FirstPort, p.nextPort = portLast-9, portLast-9
	// If somebody else has that port already, it is as taken as by us.
	if taken, err := net.Listen("tcp", loopback(portLast-7)); err == nil {
		defer taken.Close()
	}
	seen := map[int]bool{}
	for range 2 {
		first, err := p.takePorts(3)
		if err != nil || first <= portLast-7 || first+2 > portLast || seen[first] {
			t.Errorf("ports from %d, after %v: %v", first, seen, err)
		}
		seen[first] = true
	}
	if _, err := p.takePorts(11); err == nil || !strings.Contains(err.Error(), "--first-port") {
		t.Errorf("more than there are: %v", err)
	}
	for _, tc := range []struct{ connections, ports, perPort int }{{1, 1, 1}, {50_000, 1, 50_000}, {50_001, 2, 25_001}, {200_000, 4, 50_000}} {
		if p := testPlan(t, tc.connections); p.ports != tc.ports || p.perPort() != tc.perPort {
			t.Errorf("%d connections: %d ports with %d each", tc.connections, p.ports, p.perPort())
		}
	}
}
