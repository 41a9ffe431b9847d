package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"c10m/bench/proc"
)

// A child is a process that ends with this one, whatever happens.
type child struct {
	// Fixed after construction.
	process *os.Process
	output  *tail
	ended   chan struct{} // closed when the process is gone
}

// startChild runs a program. It is killed by stop, and by the kernel if this
// process dies without stopping it.
func startChild(command *exec.Cmd) (*child, error) {
	c := &child{output: &tail{}, ended: make(chan struct{})}
	if command.Stdout == nil {
		command.Stdout = c.output
	}
	command.Stderr = c.output
	// PDEATHSIG is sent when the thread ends that made the child, not the
	// process: the thread stays with this goroutine until the child is gone.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		if err == nil {
			c.process = command.Process
		}
		started <- err
		if err == nil {
			command.Wait()
		}
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", command.Path, err)
	}
	return c, nil
}

// stop kills the child and waits until it is gone.
func (c *child) stop() {
	select {
	case <-c.ended:
		return
	default:
	}
	c.process.Kill()
	<-c.ended
}

// died returns an error with the child's last words if it is gone.
func (c *child) died() error {
	select {
	case <-c.ended:
		return fmt.Errorf("the process ended: %s", strings.TrimSpace(c.output.String()))
	default:
		return nil
	}
}

// cpu is the processor time that the child has had, in seconds.
func (c *child) cpu() (float64, error) {
	seconds, err := proc.CPU(c.process.Pid)
	if err != nil {
		return 0, errors.Join(err, c.died())
	}
	return seconds, nil
}

// A tail keeps the end of what is written to it.
type tail struct {
	// Guarded by mu.
	mu    sync.Mutex
	bytes []byte
}

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, p...)
	if over := len(t.bytes) - outputBytesMax; over > 0 {
		t.bytes = append(t.bytes[:0], t.bytes[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.bytes)
}
