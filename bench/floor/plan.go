package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"

	"c10m/internal/child"
	"c10m/tuning"
)

// A plan is what both sides of a comparison have in common: ports, loops and
// descriptor tables. It is the server's own arithmetic (tuning.Plan), so that
// the bare program has as many threads and tables as the server.
type plan struct {
	// Fixed after construction.
	common      *commonFlags
	connections int
	ports       int  // that a side listens on
	loops       int  // of the acceptor and the server
	private     bool // each has a descriptor table of its own
	limit       int  // descriptors in a table
	pings       pingPace

	// Owned by the main goroutine.
	nextPort int
}

// newPlan decides; loops of 0 are as many as the server would take.
func newPlan(common *commonFlags, connections, loops int) (*plan, error) {
	if connections < 1 {
		return nil, fmt.Errorf("--connections is %d; it must be at least 1", connections)
	}
	if common.FirstPort < 1 || common.FirstPort > portLast {
		return nil, fmt.Errorf("--first-port is %d; it must be a port from 1 to %d", common.FirstPort, portLast)
	}
	limit, err := tuning.RaiseNofile()
	if err != nil {
		return nil, fmt.Errorf("cannot raise the limit of open files: %w", err)
	}
	p := &plan{common: common, connections: connections, limit: limit.Hard, nextPort: common.FirstPort,
		ports: (connections + connectionsPerPortMax - 1) / connectionsPerPortMax}
	fds, err := tuning.Plan(tuning.ThisHost(), tuning.Want{Connections: p.connectionsMax(), Ports: p.ports, Loops: loops})
	if err != nil {
		return nil, err
	}
	p.loops, p.private = fds.Loops, fds.Private
	return p, nil
}

// connectionsMax is what the server is told to hold: those who come back
// while it has not closed all of the old ones are not to be refused.
func (p *plan) connectionsMax() int {
	return p.connections + p.connections/connectionsSpareShare + connectionsSpareMin
}

// perPort is how many connections the client opens to a port before the next.
func (p *plan) perPort() int { return (p.connections + p.ports - 1) / p.ports }

// takePorts finds n ports in a row that nobody has now, and returns the first;
// none is given out twice until all have been.
func (p *plan) takePorts(n int) (first int, err error) {
	first = p.nextPort
	for wraps := 0; wraps < 2; {
		if first+n-1 > portLast {
			first = p.common.FirstPort
			wraps++
			continue
		}
		taken := firstTaken(first, n)
		if taken == 0 {
			p.nextPort = first + n
			return first, nil
		}
		first = taken + 1
	}
	return 0, fmt.Errorf("no %d ports in a row are free from %d to %d; choose another --first-port", n, p.common.FirstPort, portLast)
}

// firstTaken is the first of n ports that cannot be listened on, or 0.
func firstTaken(first, n int) int {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			return port
		}
		l.Close()
	}
	return 0
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// startServerProcess starts the server and waits until it listens. It has the
// plan's loops and tables unless its own choice is wanted.
func (p *plan) startServerProcess(ctx context.Context, own bool) (c *child.Child, firstPort, busPort int, err error) {
	first, err := p.takePorts(p.ports + 2)
	if err != nil {
		return nil, 0, 0, err
	}
	bus, admin := first+p.ports, first+p.ports+1
	arguments := []string{"--listen", fmt.Sprintf("%s-%d", loopback(first), first+p.ports-1),
		"--bus-listen", loopback(bus), "--admin", loopback(admin)}
	if !own || p.private {
		arguments = append(arguments, "--loops", strconv.Itoa(p.loops), "--max-connections", strconv.Itoa(p.connectionsMax()))
	}
	arguments = append(arguments, p.common.ServerArg...)
	c, err = child.Start(exec.CommandContext(ctx, p.common.Server, arguments...), child.Kill)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("%w; name the server's program with --server", err)
	}
	ctx, cancel := context.WithTimeout(ctx, setUpBase)
	defer cancel()
	for _, port := range []int{bus, first} {
		if err = c.AwaitListener(ctx, loopback(port)); err != nil {
			c.Stop()
			return nil, 0, 0, err
		}
	}
	return c, first, bus, nil
}
