package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strconv"

	"c10m/bench/load"
	"c10m/bench/proc"
	"c10m/internal/child"
)

// A side is one of those that are compared: a child that sends, and a client
// of this process that drains it.
type side struct {
	// Fixed after construction.
	name    string
	child   *child.Child
	client  *load.Client
	publish func(load.Message) error
	closers []io.Closer
	ready   <-chan error // of the sender: it has accepted all
}

func (s *side) stop() {
	if s.child != nil {
		s.child.Stop()
	}
	if s.client != nil {
		s.client.Stop()
	}
	for _, c := range s.closers {
		c.Close()
	}
}

// drain starts the client, which is the same for both sides but for the
// handshake. Private tables, since both sides' sockets together are more than
// one table may hold.
func (s *side) drain(f *sendsFlags, port, perPort int, raw bool) (err error) {
	var dialect *load.Dialect
	if raw {
		dialect = load.Bare
	}
	s.client, err = load.Start(load.Config{
		Spread: load.Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: port,
			PerPort: perPort, Connections: f.Connections},
		Channel:         "floor",
		Dialect:         dialect,
		Retries:         3,
		FirstSequence:   1,
		Loops:           f.Loops,
		Cores:           s.cores(f.Loops, raw),
		PrivateFDTables: true,
	})
	return err
}

// cores are where the client's loops are bound: nowhere for the bare sender, who
// is then alone on a processor whenever the kernel can arrange that (beside bound
// loops it delivered 67,000 a second, not 89,000), and to a processor each beside a server that binds its
// loops, too. Each side has the client that suits it best.
func (s *side) cores(loops int, raw bool) (cores []int) {
	if raw || loops != runtime.NumCPU() {
		return nil
	}
	for core := range loops {
		cores = append(cores, core)
	}
	return cores
}

// startFloor starts the bare sender and the client that drains it. With batch above
// 1 it puts so many messages into one send.
func startFloor(ctx context.Context, f *sendsFlags, p *plan, batch int) (*side, error) {
	s := &side{name: sideFloor}
	if batch > 1 {
		s.name = sideBatching
	}
	if err := s.send(ctx, f, p, batch); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *side) send(ctx context.Context, f *sendsFlags, p *plan, batch int) error {
	config := senderConfig{Connections: f.Connections, Size: f.Size, Tables: senderTables(f.Connections, p.limit), Batch: batch}
	var err error
	if config.FirstPort, err = p.takePorts(config.Tables); err != nil {
		return err
	}
	sender, err := startPartner(ctx, senderRole, config)
	if err != nil {
		return err
	}
	s.child = sender.Child
	s.closers = append(s.closers, sender)
	startCtx, cancel := context.WithTimeout(ctx, setUpTimeout(f.Connections))
	defer cancel()
	if err := sender.await(startCtx, "listening"); err != nil {
		return fmt.Errorf("the sender: %w", err)
	}
	ready := make(chan error, 1)
	s.ready = ready
	go func() { ready <- sender.await(ctx, "ready") }()
	s.publish = func(m load.Message) error { return sender.tell(strconv.FormatUint(m.Sequence, 10)) }
	return s.drain(f, config.FirstPort, config.perTable(), true)
}

// startServer starts the server and the client that drains it.
func startServer(ctx context.Context, f *sendsFlags, p *plan) (*side, error) {
	s := &side{name: sideServer}
	if err := s.serve(ctx, f, p); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *side) serve(ctx context.Context, f *sendsFlags, p *plan) error {
	var firstPort, busPort int
	var err error
	if s.child, firstPort, busPort, err = p.startServerProcess(ctx, true); err != nil {
		return err
	}
	if err = s.drain(f, firstPort, p.perPort(), false); err != nil {
		return err
	}
	bus, err := load.DialBus(loopback(busPort), "")
	if err != nil {
		return err
	}
	s.closers = append(s.closers, bus)
	s.publish = s.client.Publisher(bus, f.Size)
	return nil
}

// connect waits until all sockets of both sides are there.
func connect(ctx context.Context, p *plan, sides ...*side) error {
	ctx, cancel := context.WithTimeout(ctx, 2*setUpTimeout(p.connections))
	defer cancel()
	for _, s := range sides {
		if _, err := s.client.AwaitConnected(ctx); err != nil {
			return fmt.Errorf("%s: %w; %s", s.name, err, s.child.Output())
		}
		if s.ready == nil {
			continue
		}
		select {
		case err := <-s.ready:
			if err != nil {
				return fmt.Errorf("%s: %w; %s", s.name, err, s.child.Output())
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// measure sends for f.Each, after a little that does not count.
func (s *side) measure(ctx context.Context, f *sendsFlags) (m measurement, err error) {
	drive := load.Drive{Duration: warmUp, InFlight: f.InFlight, Send: s.publish}
	if _, err = s.client.Drive(ctx, drive); err != nil {
		return m, fmt.Errorf("%s: %w; %s", s.name, err, s.child.Output())
	}
	childBefore, err := proc.CPU(s.child.PID)
	if err != nil {
		return m, fmt.Errorf("%s: %w; %s", s.name, err, s.child.Output())
	}
	ownBefore, hostBefore := proc.OwnCPU(), proc.BusyCPU()
	drive.Duration = f.Each
	run, err := s.client.Drive(ctx, drive)
	if err != nil {
		return m, fmt.Errorf("%s: %w; %s", s.name, err, s.child.Output())
	}
	childAfter, err := proc.CPU(s.child.PID)
	if err != nil {
		return m, fmt.Errorf("%s: %w; %s", s.name, err, s.child.Output())
	}
	snapshot := s.client.Snapshot()
	if fault := snapshot.Fault(); fault != "" {
		return m, fmt.Errorf("%s: %s; %s", s.name, fault, s.child.Output())
	}
	seconds := run.Elapsed.Seconds()
	m = measurement{
		PerSecond:   run.PerSecond(),
		Messages:    run.Messages,
		Seconds:     seconds,
		SenderCores: (childAfter - childBefore) / seconds,
		ClientCores: (proc.OwnCPU() - ownBefore) / seconds,
		Latency:     run.Latency,
	}
	m.PerCore = m.PerSecond / max(m.SenderCores, 1.0/proc.ClockTicksPerSecond)
	m.OtherCores = max(0, (proc.BusyCPU()-hostBefore)/seconds-m.SenderCores-m.ClientCores)
	return m, nil
}
