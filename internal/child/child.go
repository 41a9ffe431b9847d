// Package child starts programs that end with the one that started them,
// whatever happens to it: servers and clients of the comparisons and of tests.
//
//	ports, err := child.FreePorts(1)
//	c, err := child.Start(exec.Command("server", ...), child.Kill)
//	defer c.Stop()
//	err = c.AwaitListener(ctx, address)
//
// Every child leads a process group of its own, so that what it started in turn
// ends with it, too; nothing outside of that group gets a signal.
//
// # What looks wrong but is deliberate
//
// The goroutine that starts a child keeps its thread until the child is gone:
// PR_SET_PDEATHSIG follows the thread that made the child and not the process,
// and the loops of a load client end their threads.
package child

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// outputBytesMax is how much of a child's words is kept for an error.
	outputBytesMax = 4 << 10
	// mercy is what a child has that was asked to end, until it is killed.
	mercy = 5 * time.Second
	// readyPause is between two looks whether a child listens.
	readyPause = 20 * time.Millisecond
)

// An Ending is how a child is told to end, by Stop, or by the kernel if this
// process dies.
type Ending syscall.Signal

const (
	// Kill is for programs without children of their own.
	Kill = Ending(syscall.SIGKILL)
	// Ask is for those that have some, and end them. What is there after 5 s is
	// killed.
	Ask = Ending(syscall.SIGTERM)
)

// A Child is a process that ends with this one. Any goroutine may call its
// methods.
type Child struct {
	// Fixed after construction.
	PID    int
	ending Ending
	output tail
	ended  chan struct{} // closed when the process is gone
	once   sync.Once     // of Stop
}

// Start runs a program. What it says is kept for errors, but for what command sends
// elsewhere already.
func Start(command *exec.Cmd, ending Ending) (*Child, error) {
	c := &Child{ending: ending, ended: make(chan struct{})}
	if command.Stdout == nil {
		command.Stdout = &c.output
	}
	if command.Stderr == nil {
		command.Stderr = &c.output
	}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.Signal(ending), Setpgid: true}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.ended)
		err := command.Start()
		if err == nil {
			c.PID = command.Process.Pid
		}
		started <- err
		if err == nil {
			command.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", command.Path, err)
	}
	return c, nil
}

// Stop ends the child and all in its group, and returns when it is gone. Only
// the first call sends signals: later the number may be somebody else's.
func (c *Child) Stop() { c.once.Do(c.stop) }

func (c *Child) stop() {
	select {
	case <-c.ended:
	default:
		syscall.Kill(-c.PID, syscall.Signal(c.ending))
		select {
		case <-c.ended:
		case <-time.After(mercy):
		}
	}
	// What it may have left behind; the group's number is not given to anybody
	// else while one of it lives.
	syscall.Kill(-c.PID, syscall.SIGKILL)
	<-c.ended
}

// Ended is closed when the process is gone.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Output is the end of what the child has said.
func (c *Child) Output() string { return strings.TrimSpace(c.output.String()) }

// Died returns an error with the child's last words if it is gone.
func (c *Child) Died() error {
	select {
	case <-c.ended:
		return errors.New("the process ended: " + c.Output())
	default:
		return nil
	}
}

// FreePorts asks the kernel for ports of 127.0.0.1 that nobody has now.
func FreePorts(n int) (ports []int, err error) {
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

// AwaitListener waits until the child accepts connections.
func (c *Child) AwaitListener(ctx context.Context, address string) error {
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		if died := c.Died(); died != nil {
			return died
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not listen on %s: %w; %s", address, err, c.Output())
		case <-time.After(readyPause):
		}
	}
}

// A tail keeps the end of what is written to it.
type tail struct {
	// Guarded by mu.
	mu    sync.Mutex
	bytes []byte
}

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
