package servertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"c10m/internal/child"
	"c10m/internal/patience"
)

// binaries is where Main put 10m-server and 10m-client.
var binaries string

// Main builds the binaries, runs the tests of a package and ends the process.
func Main(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "c10m")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		for name, source := range map[string]string{"10m-server": "c10m", "10m-client": "c10m/bench/10m-client"} {
			if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), source).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "building %s: %v\n%s", name, err, out)
				return 1
			}
		}
		binaries = dir
		return m.Run()
	}())
}

// Binary is the path of 10m-server or 10m-client.
func Binary(name string) string { return filepath.Join(binaries, name) }

// A Process is a program that a test started and that ends with it.
type Process struct {
	Cmd    *exec.Cmd
	Output Buffer // both streams
	Stdout Buffer

	t     testing.TB
	child *child.Child
}

// A Buffer may be read while it is written.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start runs a program until the test ends, and prints what it said if the test
// has failed then.
func Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, Cmd: exec.Command(name, args...)}
	p.Cmd.Stdout, p.Cmd.Stderr = io.MultiWriter(&p.Stdout, &p.Output), &p.Output
	var err error
	if p.child, err = child.Start(p.Cmd, child.Kill); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.child.Stop()
		if t.Failed() {
			t.Logf("%s %s:\n%s", filepath.Base(name), strings.Join(args, " "), p.Output.String())
		}
	})
	return p
}

// Wait returns the exit status, -1 if a signal ended the process.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.child.Ended():
	case <-time.After(patience.Guard):
		p.t.Fatalf("the process does not end:\n%s", p.Output.String())
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Ended reports whether the process is gone.
func (p *Process) Ended() bool {
	return p.child.Died() != nil
}

// Gone is what the process said, if it has ended, and "" before.
func (p *Process) Gone() string {
	if !p.Ended() {
		return ""
	}
	return filepath.Base(p.Cmd.Path) + " ended:\n" + p.Output.String()
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) { p.Cmd.Process.Signal(s) }

// PID is the process's number.
func (p *Process) PID() int { return p.child.PID }

// Find is the path of the first of several programs that is there; without one the
// test fails, and says what installs it.
func Find(t testing.TB, programs ...string) string {
	t.Helper()
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not there: run make test, which installs it", programs[0])
	return ""
}

// Eventually waits until ok.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience.Guard); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// firstPort and lastPort bound the ports that FreePort gives: below those that
// Linux gives to whoever connects (net.ipv4.ip_local_port_range, from 32768 on),
// so that no client takes one before the server listens on it.
const firstPort, lastPort = 13000, 32767

// given are the ports that FreePort gave in this process.
var given sync.Map

// FreePort is a port of 127.0.0.1 that nobody has now, and that this process was
// not given before.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port of 127.0.0.1 is free")
	return 0
}

// Accept listens on a free port of an address of loopback, until the test ends, and has
// each connection served by a goroutine of its own.
func Accept(t testing.TB, host string, serve func(net.Conn)) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return listener
}

// RedisCLI runs the real redis-cli and returns what it prints.
func RedisCLI(t testing.TB, port int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience.Guard)
	defer cancel()
	out, err := exec.CommandContext(ctx, Find(t, "redis-cli"), append([]string{"-p", strconv.Itoa(port)}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// StartRedis starts a real Redis that keeps nothing on disk and waits until it
// listens. args are further options of redis-server.
func StartRedis(t testing.TB, port int, args ...string) *Process {
	t.Helper()
	p := Start(t, Find(t, "redis-server"), append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--dir", t.TempDir()}, args...)...)
	Eventually(t, "Redis answers", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}
