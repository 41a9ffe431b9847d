package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"c10m/internal/child"
)

// A redisServer is the bus: a real Redis that keeps nothing on disk, and that
// can be killed, frozen and told to cut its clients. One goroutine uses it.
type redisServer struct {
	// Fixed after construction.
	program string
	dir     string // its working directory
	port    int

	child *child.Child // nil while it is down
}

func (r *redisServer) address() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// start starts it and waits until it listens. The port may be somebody's for a
// moment (the source port of a connection), so it is tried again.
func (r *redisServer) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, hangGuard)
	defer cancel()
	for {
		c, err := child.Start(exec.Command(r.program, "--port", strconv.Itoa(r.port), "--bind", "127.0.0.1",
			"--save", "", "--appendonly", "no", "--dir", r.dir), child.Kill)
		if err != nil {
			return err
		}
		if err = c.AwaitListener(ctx, r.address()); err == nil {
			r.child = c
			return nil
		}
		c.Stop()
		select {
		case <-ctx.Done():
			return fmt.Errorf("the Redis does not start on %s: %w", r.address(), err)
		case <-time.After(redialPause):
		}
	}
}

// kill ends it with SIGKILL.
func (r *redisServer) kill() {
	if r.child != nil {
		r.child.Stop()
		r.child = nil
	}
}

// shutdown ends it as its operator does.
func (r *redisServer) shutdown() {
	syscall.Kill(r.child.PID, syscall.SIGTERM)
	select {
	case <-r.child.Ended():
	case <-time.After(redisCommandTimeout):
	}
	r.kill()
}

// cut has Redis close its clients of a type ("pubsub", "normal") and returns how
// many there were.
func (r *redisServer) cut(kind string) (int, error) {
	conn, err := net.DialTimeout("tcp", r.address(), redisCommandTimeout)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(redisCommandTimeout))
	if _, err := fmt.Fprintf(conn, "CLIENT KILL TYPE %s\r\n", kind); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return 0, err
	}
	number, found := strings.CutPrefix(strings.TrimSpace(line), ":")
	if !found {
		return 0, fmt.Errorf("the Redis answered CLIENT KILL with %q", strings.TrimSpace(line))
	}
	return strconv.Atoi(number)
}

// pause freezes a process for a time (SIGSTOP, SIGCONT), or until ctx ends.
func pause(ctx context.Context, pid int, d time.Duration) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	sleep(ctx, d)
	return syscall.Kill(pid, syscall.SIGCONT)
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
