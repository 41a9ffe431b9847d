package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"

	"c10m/bench/compare/peers"
	"c10m/internal/child"
)

// A stage is where one server runs, with what feeds it.
type stage struct {
	// Fixed after construction.
	ctx         context.Context
	bin         string
	directory   string // of files that are gone with the stage
	connections int
	descriptors int // that a process may have

	// Filled in by a contender's start.
	server *child.Child
	port   int // of the WebSockets
	bus    int // of what takes PUBLISH

	children []*child.Child
}

// newStage makes an empty stage; stop has to be called in any case.
func newStage(ctx context.Context, f *flags) (*stage, error) {
	limit, err := descriptors()
	if err != nil {
		return nil, err
	}
	directory, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return nil, err
	}
	return &stage{ctx: ctx, bin: f.Bin, directory: directory, connections: f.Connections, descriptors: limit}, nil
}

// stop ends everything, the server first.
func (s *stage) stop() {
	for i := range s.children {
		s.children[len(s.children)-1-i].Stop()
	}
	os.RemoveAll(s.directory)
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func (s *stage) baseline(program string) string { return filepath.Join(s.bin, "baseline", program) }

// run starts a child of the stage.
func (s *stage) run(ending child.Ending, program string, arguments ...string) (*child.Child, error) {
	c, err := child.Start(exec.CommandContext(s.ctx, program, arguments...), ending)
	if err != nil {
		return nil, err
	}
	s.children = append(s.children, c)
	return c, nil
}

// await gives the whole start one time-out, not each port: it waits until a child listens on all ports.
func (s *stage) await(c *child.Child, ports ...int) error {
	ctx, cancel := context.WithTimeout(s.ctx, readyTimeout)
	defer cancel()
	for _, port := range ports {
		if err := c.AwaitListener(ctx, local(port)); err != nil {
			return err
		}
	}
	return nil
}

// startRedis starts a Redis without persistence as the bus.
func (s *stage) startRedis() error {
	ports, err := child.FreePorts(1)
	if err != nil {
		return err
	}
	s.bus = ports[0]
	redis, err := s.run(child.Kill, "redis-server", "--port", fmt.Sprint(s.bus), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--dir", s.directory)
	if err != nil {
		return fmt.Errorf("%w; scripts/install-compare-deps installs it", err)
	}
	return s.await(redis, s.bus)
}

// startBridge starts what takes PUBLISH for a server that does not.
func (s *stage) startBridge(to string) error {
	ports, err := child.FreePorts(1)
	if err != nil {
		return err
	}
	s.bus = ports[0]
	bridge, err := s.run(child.Kill, s.baseline("bridge"), "--listen", local(s.bus), "--to", to)
	if err != nil {
		return err
	}
	return s.await(bridge, s.bus)
}

// configure writes a configuration file, with free ports.
func (s *stage) configure(text string, workers int) (place peers.Place, path string, err error) {
	ports, err := child.FreePorts(2)
	if err != nil {
		return place, "", err
	}
	s.port = ports[0]
	place = peers.Place{Directory: s.directory, Port: ports[0], PublishPort: ports[1],
		Workers: workers, Descriptors: s.descriptors}
	path = filepath.Join(s.directory, "server.conf")
	file, err := os.Create(path)
	if err != nil {
		return place, "", err
	}
	parsed, err := template.New("server.conf").Parse(text)
	if err == nil {
		err = parsed.Execute(file, place)
	}
	return place, path, errors.Join(err, file.Close())
}
