package main

import (
	"context"
	"errors"
	"fmt"

	"c10m/bench/proc"
	"c10m/internal/child"
)

// A contender is one side of connects and storm: who accepts, and the client
// that connects to it, each a process of its own.
type contender struct {
	// Fixed after construction.
	name     string
	acceptor *child.Child
	accepts  *partner // the bare acceptor, which says when it has all; nil for the server
	client   *partner
	plan     *plan
}

// The sides of connects and storm, in the order in which they are measured and printed.
const (
	sideBare     = "bare"     // accepts, and nothing else
	sideExchange = "exchange" // and answers a request
	sideServer   = "server"
	sidePinger   = "pinger" // answers a request, and pings
)

// startContender starts both processes of a side; no connection is made yet.
func startContender(ctx context.Context, p *plan, name string, clientLoops int) (*contender, error) {
	c := &contender{name: name, plan: p}
	firstPort, err := c.startAcceptor(ctx)
	if err == nil {
		c.client, err = startPartner(ctx, clientRole, clientConfig{
			FirstPort: firstPort, PerPort: p.perPort(), Connections: p.connections,
			Loops: clientLoops, Raw: name == sideBare,
		})
	}
	if err != nil {
		c.stop()
		return nil, c.explain(err)
	}
	return c, nil
}

func (c *contender) startAcceptor(ctx context.Context) (firstPort int, err error) {
	p := c.plan
	if c.name == sideServer {
		c.acceptor, firstPort, _, err = p.startServerProcess(ctx, false)
		return firstPort, err
	}
	if firstPort, err = p.takePorts(p.ports); err != nil {
		return 0, err
	}
	c.accepts, err = startPartner(ctx, acceptorRole, acceptorConfig{
		FirstPort: firstPort, Ports: p.ports, Connections: p.connections,
		Loops: p.loops, Private: p.private, Exchange: c.name != sideBare, Pings: p.pings,
	})
	if err != nil {
		return 0, err
	}
	c.acceptor = c.accepts.Child
	ctx, cancel := context.WithTimeout(ctx, setUpBase)
	defer cancel()
	return firstPort, c.accepts.await(ctx, "listening")
}

// stop ends both: the client first, whose resets leave nothing behind.
func (c *contender) stop() {
	if c.client != nil {
		c.client.end()
	}
	if c.acceptor != nil {
		c.acceptor.Stop()
	}
	if c.accepts != nil {
		c.accepts.Close()
	}
}

// explain adds the side and the acceptor's last words to an error.
func (c *contender) explain(err error) error {
	if err == nil || c.acceptor == nil {
		return err
	}
	return fmt.Errorf("%s: %w; %s", c.name, errors.Join(err, c.acceptor.Died()), c.acceptor.Output())
}

// connect has the client open all connections (wordOpen) or drop and open all
// (wordStorm), and measures until both ends have them.
func (c *contender) connect(ctx context.Context, word string) (o outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, setUpTimeout(c.plan.connections))
	defer cancel()
	acceptorBefore, err := proc.CPU(c.acceptor.PID)
	if err != nil {
		return o, c.explain(err)
	}
	clientBefore, err := proc.CPU(c.client.PID)
	if err != nil {
		return o, c.explain(err)
	}
	hostBefore, dropsBefore := proc.BusyCPU(), proc.ListenDrops()
	if err := c.client.tell(word); err != nil {
		return o, c.explain(err)
	}
	var all opened
	if err := c.client.hearJSON(ctx, &all); err != nil {
		return o, c.explain(err)
	}
	end := all.OpenNanos
	if c.accepts != nil {
		// A connection is open to a client that sends nothing before anybody
		// has accepted it.
		var there accepted
		if err := c.accepts.hearJSON(ctx, &there); err != nil {
			return o, c.explain(err)
		}
		end = max(end, there.Nanos)
	}
	busy, drops := proc.BusyCPU()-hostBefore, proc.ListenDrops()-dropsBefore
	acceptorAfter, err := proc.CPU(c.acceptor.PID)
	if err != nil {
		return o, c.explain(err)
	}
	clientAfter, err := proc.CPU(c.client.PID)
	if err != nil {
		return o, c.explain(err)
	}
	seconds := float64(end-all.StartedNanos) / 1e9
	o = outcome{
		Seconds: seconds, PerSecond: float64(c.plan.connections) / seconds,
		AcceptorCores: (acceptorAfter - acceptorBefore) / seconds,
		ClientCores:   (clientAfter - clientBefore) / seconds,
		ClientLoops:   all.Loops, Retries: all.Retries, ListenDrops: drops,
	}
	o.OtherCores = max(0, busy/seconds-o.AcceptorCores-o.ClientCores)
	return o, nil
}
