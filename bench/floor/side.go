package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"time"

	"c10m/bench/load"
	"c10m/bench/proc"
)

// A side is one of the two that are compared: a child that sends, and a client
// of this process that drains it.
type side struct {
	// Fixed after construction.
	name    string
	child   *child
	client  *load.Client
	publish func(load.Message) error
	closers []io.Closer
	ready   <-chan error // of the sender: it has accepted all
}

func (s *side) stop() {
	if s.child != nil {
		s.child.stop()
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
func (s *side) drain(f *flags, port int, raw bool) (err error) {
	s.client, err = load.Start(load.Config{
		Spread: load.Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: port,
			PerPort: f.Connections, Connections: f.Connections},
		Channel:         "floor",
		Raw:             raw,
		Retries:         3,
		FirstSequence:   1,
		Loops:           f.Loops,
		PrivateFDTables: true,
	})
	return err
}

// startFloor starts the bare sender and the client that drains it.
func startFloor(ctx context.Context, f *flags) (*side, error) {
	s := &side{name: "floor"}
	if err := s.send(ctx, f); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *side) send(ctx context.Context, f *flags) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, program, senderArgument, strconv.Itoa(f.Connections), strconv.Itoa(f.Size))
	stdin, err := command.StdinPipe()
	if err != nil {
		return err
	}
	words, stdout, err := os.Pipe()
	if err != nil {
		return err
	}
	command.Stdout = stdout
	s.closers = append(s.closers, stdin, words)
	s.child, err = startChild(command)
	stdout.Close()
	if err != nil {
		return err
	}
	reader := bufio.NewReader(words)
	var port int
	if _, err := fmt.Fscanf(reader, "port %d\n", &port); err != nil {
		return fmt.Errorf("the sender does not say its port: %w; %s", err, s.child.output)
	}
	ready := make(chan error, 1)
	s.ready = ready
	go func() {
		_, err := fmt.Fscanf(reader, "ready\n")
		ready <- err
	}()
	s.publish = func(m load.Message) error {
		_, err := fmt.Fprintln(stdin, m.Sequence)
		return err
	}
	return s.drain(f, port, true)
}

// startServer starts the server and the client that drains it.
func startServer(ctx context.Context, f *flags) (*side, error) {
	s := &side{name: "server"}
	if err := s.serve(ctx, f); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *side) serve(ctx context.Context, f *flags) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	address := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	arguments := append([]string{"--listen", address(0), "--bus-listen", address(1), "--admin", address(2)}, f.ServerArg...)
	if s.child, err = startChild(exec.CommandContext(ctx, f.Server, arguments...)); err != nil {
		return fmt.Errorf("%w; name the server's program with --server", err)
	}
	for _, i := range []int{1, 0} {
		if err = s.child.awaitListener(ctx, address(i)); err != nil {
			return err
		}
	}
	if err = s.drain(f, ports[0], false); err != nil {
		return err
	}
	bus, err := load.DialBus(address(1), "")
	if err != nil {
		return err
	}
	s.closers = append(s.closers, bus)
	s.publish = s.client.Publisher(bus, f.Size)
	return nil
}

// freePorts asks the kernel for ports that nobody has now.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// awaitListener waits until the child accepts connections.
func (c *child) awaitListener(ctx context.Context, address string) error {
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		if died := c.died(); died != nil {
			return died
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server does not listen on %s: %w; %s", address, err, c.output)
		case <-time.After(readyPause):
		}
	}
}

// connect waits until all sockets of both sides are there.
func connect(ctx context.Context, sides ...*side) error {
	ctx, cancel := context.WithTimeout(ctx, setUpTimeout)
	defer cancel()
	for _, s := range sides {
		if _, err := s.client.AwaitConnected(ctx); err != nil {
			return fmt.Errorf("%s: %w; %s", s.name, err, s.child.output)
		}
		if s.ready == nil {
			continue
		}
		select {
		case err := <-s.ready:
			if err != nil {
				return fmt.Errorf("%s: %w; %s", s.name, err, s.child.output)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// measure sends for f.Each, after a little that does not count.
func (s *side) measure(ctx context.Context, f *flags) (m measurement, err error) {
	drive := load.Drive{Duration: warmUp, InFlight: f.InFlight, Send: s.publish}
	if _, err = s.client.Drive(ctx, drive); err != nil {
		return m, fmt.Errorf("%s: %w; %s", s.name, err, s.child.output)
	}
	childBefore, err := s.child.cpu()
	if err != nil {
		return m, err
	}
	ownBefore, hostBefore := proc.OwnCPU(), proc.BusyCPU()
	drive.Duration = f.Each
	run, err := s.client.Drive(ctx, drive)
	if err != nil {
		return m, fmt.Errorf("%s: %w; %s", s.name, err, s.child.output)
	}
	childAfter, err := s.child.cpu()
	if err != nil {
		return m, err
	}
	snapshot := s.client.Snapshot()
	if fault := snapshot.Fault(); fault != "" {
		return m, fmt.Errorf("%s: %s; %s", s.name, fault, s.child.output)
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
