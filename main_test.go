package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// These tests run the real binaries as an operator would: flags, signals,
// redis-cli, a real Redis. hangGuard is no expectation of speed.
const hangGuard = 60 * time.Second

// binaries is where TestMain put 10m-server and 10m-client.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "c10m")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		for name, source := range map[string]string{"10m-server": ".", "10m-client": "./bench/10m-client"} {
			if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), source).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "building %s: %v\n%s", name, err, out)
				return 1
			}
		}
		binaries = dir
		return m.Run()
	}())
}

// A process is a program that a test started and that ends with it.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	ended  chan struct{}
	output lockedBuffer // both streams
	stdout lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = io.MultiWriter(&p.stdout, &p.output), &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s %s:\n%s", filepath.Base(name), strings.Join(args, " "), p.output.String())
		}
	})
	return p
}

// wait returns the exit status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(hangGuard):
		p.t.Fatalf("the process does not end:\n%s", p.output.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(hangGuard); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A server is a running 10m-server on ports of its own.
type server struct {
	*process
	port, bus, admin int
}

// startServer starts a server whose hard nofile limit is nofile, 0 for the one
// there is, and waits until it is up.
func startServer(t *testing.T, nofile int, args ...string) *server {
	t.Helper()
	s := &server{port: freePort(t), bus: freePort(t), admin: freePort(t)}
	// Later flags win, so a test may replace these.
	all := append([]string{
		"--listen", fmt.Sprintf("127.0.0.1:%d", s.port), "--bus-listen", fmt.Sprintf("127.0.0.1:%d", s.bus),
		"--admin", fmt.Sprintf("127.0.0.1:%d", s.admin), "--drain", "1s",
	}, args...)
	command := filepath.Join(binaries, "10m-server")
	if nofile != 0 {
		all = append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, nofile), command}, all...)
		command = "sh"
	}
	s.process = start(t, command, all...)
	eventually(t, "the server's greeting", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("the server ended:\n%s", s.output.String())
		default:
		}
		return strings.Contains(s.output.String(), "connect:") && s.get("/metrics") != ""
	})
	return s
}

// get returns status and body of a page of the admin address, "" if it does not
// answer.
func (s *server) get(path string) string {
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.admin, path))
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return fmt.Sprintf("%d %s", answer.StatusCode, body)
}

// metric returns the value of one line of /metrics, -1 if there is none.
func (s *server) metric(name string) float64 {
	match := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(s.get("/metrics"))
	if match == nil {
		return -1
	}
	value, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		return -1
	}
	return value
}

// dial connects to a channel. A deadline of the test ends what hangs.
func (s *server) dial(t *testing.T, channel string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
	defer cancel()
	c, early, _, err := ws.Dial(ctx, fmt.Sprintf("ws://127.0.0.1:%d/%s", s.port, channel))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(hangGuard))
	if early == nil {
		early = bufio.NewReader(c)
	}
	return &client{Conn: c, reader: early}
}

type client struct {
	net.Conn
	reader *bufio.Reader
}

func (c *client) Read(p []byte) (int, error) { return c.reader.Read(p) }

// next returns the next message, answering pings.
func (c *client) next(t *testing.T) string {
	t.Helper()
	payload, _, err := wsutil.ReadServerData(c)
	if err != nil {
		t.Fatalf("no message: %v", err)
	}
	return string(payload)
}

// closeCode reads until the server's close frame and returns its code, 0 if
// the stream ended without. The library's own reader does not know 1012.
func (c *client) closeCode() ws.StatusCode {
	for {
		header, err := ws.ReadHeader(c)
		if err != nil || header.Length > 1<<20 {
			return 0
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(c, payload); err != nil || header.OpCode == ws.OpClose && len(payload) < 2 {
			return 0
		}
		if header.OpCode == ws.OpClose {
			return ws.StatusCode(binary.BigEndian.Uint16(payload))
		}
	}
}

// redisCLI runs the real redis-cli and returns what it prints.
func redisCLI(t *testing.T, port int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
	defer cancel()
	path, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Fatal("redis-cli is not there: run make test, which installs it")
	}
	out, err := exec.CommandContext(ctx, path, append([]string{"-p", strconv.Itoa(port)}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func startRedis(t *testing.T, port int) *process {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not there: run make test, which installs it")
	}
	p := start(t, path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	eventually(t, "Redis answers", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}

func (p *process) signal(s syscall.Signal) { p.cmd.Process.Signal(s) }
