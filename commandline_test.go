package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"c10m/internal/cli"
	"c10m/internal/servertest"

	"github.com/alecthomas/kong"
)

// output runs one of the programs until it ends.
func output(t *testing.T, program string, environ []string, args ...string) (text string, status int) {
	t.Helper()
	command := exec.Command(servertest.Binary(program), args...)
	command.Env = append(os.Environ(), environ...)
	out, err := command.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}

// Each kind of end has one exit status, in both programs.
func TestExitStatuses(t *testing.T) {
	free := func() string { return fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t)) }
	s := servertest.StartServer(t, 0)
	closed := strconv.Itoa(servertest.FreePort(t))
	for _, c := range []struct {
		program string
		args    []string
		want    int
	}{
		{"10m-server", []string{"--help"}, 0},
		{"10m-server", []string{"help"}, 0},
		{"10m-server", []string{"help", "doctor"}, 0},
		{"10m-server", []string{"--version"}, 0},
		{"10m-server", []string{"doctor", "--version"}, 0},
		{"10m-server", []string{"doctor", "--connections", "900000000"}, 1},
		{"10m-server", []string{"--no-such-flag"}, 2},
		{"10m-server", []string{"nonsense"}, 2},
		{"10m-server", []string{"doctor", "nonsense"}, 2},
		{"10m-server", []string{"--history", "many"}, 2},
		{"10m-server", []string{"--slow", "maybe"}, 2},
		{"10m-server", []string{"--listen", "nonsense"}, 2},
		{"10m-server", []string{"--bus", "http://x"}, 2},
		{"10m-server", []string{"--origin", "example.com"}, 2},
		{"10m-server", []string{"--trusted", "10.1.2.3/8"}, 2},
		{"10m-server", []string{"--token-key", ""}, 2},
		{"10m-server", []string{"--listen", free(), "--admin", "off", "--bus-listen", fmt.Sprintf("127.0.0.1:%d", s.Bus)}, 3},
		{"10m-server", []string{"--listen", free(), "--admin", "0.0.0.0:0", "--bus-listen", free()}, 3},
		{"10m-server", []string{"--listen", free(), "--admin", "off", "--bus-listen", free(), "--token-key", "/no/such/file"}, 3},
		{"10m-client", []string{"--help"}, 0},
		{"10m-client", []string{"help", "fanout"}, 0},
		{"10m-client", []string{"--version"}, 0},
		{"10m-client", []string{"127.0.0.1", "1", "--first-port", closed, "--retries", "0", "--hold", "1ms"}, 3},
		{"10m-client", []string{"127.0.0.1", "1", "--no-such-flag"}, 2},
		{"10m-client", []string{"127.0.0.1", "many"}, 2},
		{"10m-client", []string{}, 2},
		{"10m-client", []string{"no-such-host.invalid", "1"}, 3},
	} {
		text, status := output(t, c.program, nil, c.args...)
		if status != c.want {
			t.Errorf("%s %v: status %d, want %d\n%s", c.program, c.args, status, c.want, text)
		}
		if c.want >= 2 && !strings.Contains(text, "connections not made") && (strings.Count(strings.TrimSpace(text), "\n") > 0 || !strings.HasPrefix(text, c.program+": ")) {
			t.Errorf("%s %v: not one sentence: %s", c.program, c.args, text)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for program, groups := range map[string][]string{
		"10m-server": {"Where clients come in", "Where messages come from", "The operator's pages", "Who gets in", "Logging", "Exit statuses"},
		"10m-client": {"connect", "fanout", "Exit statuses"},
	} {
		long, _ := output(t, program, nil, "--help")
		if word, _ := output(t, program, nil, "help"); word != long {
			t.Errorf("%s help says something else than --help:\n%s", program, word)
		}
		at := 0
		for _, group := range groups {
			next := strings.Index(long[at:], "\n"+group)
			if next < 0 && !strings.Contains(long, "  "+group) {
				t.Errorf("%s --help has no %q, or not in this order", program, group)
				continue
			}
			at += max(next, 0)
		}
		if text, _ := output(t, program, nil, "--version"); !regexp.MustCompile(`^` + program + ` \S+\n$`).MatchString(text) {
			t.Errorf("%s --version: %q", program, text)
		}
	}
	// Every flag of the server stands in a group.
	parser := kong.Must(&flags{}, kong.DefaultEnvars("C10M"))
	for _, flag := range parser.Model.Children[0].Flags {
		if flag.Name != "help" && flag.Group == nil {
			t.Errorf("--%s is in no group", flag.Name)
		}
	}
}

// Variables that set nothing are warned of, and their values are not shown.
func TestUnknownVariables(t *testing.T) {
	parser := kong.Must(&flags{}, kong.DefaultEnvars("C10M"))
	known := append(cli.Variables(parser.Model), variablesOfOthers...)
	warnings := cli.Unknown([]string{"C10M_HISTROY=s3cret", "C10M_BUS_PASWORD=s3cret", "C10M_SOMETHING_ELSE_ALTOGETHER=s3cret", "C10M_HISTORY=7",
		"C10M_TOKEN=x", "PATH=/bin", "C10M_=x", "C10M_CONNECTIONS=1"}, known)
	want := []string{"C10M_HISTROY; do you mean C10M_HISTORY?", "C10M_BUS_PASWORD; do you mean C10M_BUS_PASSWORD?", "C10M_SOMETHING_ELSE_ALTOGETHER, so", "C10M_"}
	if len(warnings) != len(want) {
		t.Fatalf("%q", warnings)
	}
	for i, warning := range warnings {
		if !strings.Contains(warning, want[i]) || strings.Contains(warning, "s3cret") {
			t.Errorf("%q, want %q", warning, want[i])
		}
	}
	t.Setenv("C10M_HISTROY", "s3cret")
	s := servertest.StartServer(t, 0)
	if out := s.Output.String(); strings.Count(out, "C10M_HISTROY") != 1 || strings.Contains(out, "s3cret") {
		t.Errorf("the server says\n%s", out)
	}
}

// No secret that stands in the wrong place is shown to whoever reads the log.
func TestSecretsAreNotEchoed(t *testing.T) {
	const secret = "s3cret+s3cret+s3cret+s3cret+s3cret+s3cret"
	for _, args := range [][]string{
		{"--token-key", secret}, {"--token-jwks", secret}, {"--token-key", "x", secret}, {"--bus-password", "=", secret},
		{"--bus-password-file", secret}, {"--admin-password-file", secret, "--bus-listen", "127.0.0.1:0"}, {"--bus-password", secret, "--bus-password-file", "x"},
		{"--bus", "redis://:" + secret + " x@127.0.0.1:1"}, {"--bus", "redis://" + secret + "@"}, {"--bus", "redis://:" + secret + "@127.0.0.1:1/x"},
	} {
		text, status := output(t, "10m-server", nil, append(args, "--admin", "off")...)
		if status < 2 || strings.Contains(text, "s3cret") {
			t.Errorf("%v: status %d\n%s", args[0], status, text)
		}
	}
}

// startsAndWaits starts a server and waits until it has taken its signals, which shows
// in the last of them that it ignores.
func startsAndWaits(t *testing.T, args ...string) *servertest.Process {
	t.Helper()
	// A child inherits what this process ignores, and not what it handles.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1, syscall.SIGUSR2)
	args = append(args, "--listen", fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t)), "--bus-listen", fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t)), "--admin", "off")
	p := servertest.Start(t, servertest.Binary("10m-server"), args...)
	servertest.Eventually(t, "signals are taken", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
		if err != nil || p.Ended() {
			t.Fatalf("the server has ended: %v", err)
		}
		_, ignored, _ := strings.Cut(string(status), "SigIgn:\t")
		set, err := strconv.ParseUint(ignored[:16], 16, 64)
		return err == nil && set&(1<<(syscall.SIGUSR2-1)) != 0
	})
	return p
}

// Whatever signal comes while the server starts, it does what it does later.
func TestSignalsDuringTheStart(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE} {
		p := startsAndWaits(t)
		p.Signal(s)
		servertest.Eventually(t, "it serves", func() bool {
			if p.Ended() {
				t.Fatalf("%v ended the server: %d\n%s", s, p.Wait(), p.Output.String())
			}
			return strings.Contains(p.Output.String(), "publish:")
		})
		p.Signal(syscall.SIGTERM)
		if status := p.Wait(); status != 0 {
			t.Errorf("%v, SIGTERM: status %d", s, status)
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := startsAndWaits(t, "--drain", "1s")
		p.Signal(s)
		if status := p.Wait(); status != 0 {
			t.Errorf("%v: status %d\n%s", s, status, p.Output.String())
		}
	}
}

// A server whose output nobody reads any more goes on.
func TestOutputThatNobodyReads(t *testing.T) {
	s := servertest.StartServer(t, 0)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(servertest.Binary("10m-server"), "--listen", fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t)),
		"--bus", fmt.Sprintf("redis://127.0.0.1:%d", s.Bus), "--admin", "off", "--drain", "1s")
	command.Stdout, command.Stderr = w, w
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	servertest.Eventually(t, "it has subscribed", func() bool {
		return command.Process.Signal(syscall.Signal(0)) != nil || servertest.RedisCLI(t, s.Bus, "PUBSUB", "NUMPAT") == "1"
	})
	command.Process.Signal(syscall.SIGTERM)
	if err := command.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestLogFormat(t *testing.T) {
	p := startsAndWaits(t, "--log-format", "json", "--drain", "1s")
	servertest.Eventually(t, "it serves", func() bool { return strings.Contains(p.Output.String(), "serving") })
	p.Signal(syscall.SIGTERM)
	p.Wait()
	for line := range strings.Lines(p.Output.String()) {
		if !regexp.MustCompile(`^\{"level":"\w+","time":"[^"]+","msg":".*\}\n$`).MatchString(line) {
			t.Errorf("no JSON for programs: %s", line)
		}
	}
}

// With --log-level debug it says who is refused and why, without a token. Without, it
// says nothing.
func TestRefusalsAreLogged(t *testing.T) {
	for level, wanted := range map[string]bool{"debug": true, "info": false} {
		s := servertest.StartServer(t, 0, "--log-level", level, "--origin", "https://example.com")
		for range 2 {
			if got := status(t, s, "127.0.0.2", http.Header{"Origin": {"https://evil.test"}}); got != 403 {
				t.Fatalf("status %d", got)
			}
		}
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /news?token=s3cret HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		logged := func() int { return strings.Count(s.Output.String(), "refused: request_origin") }
		if wanted {
			servertest.Eventually(t, "all are logged", func() bool { return logged() == 3 })
			if out := s.Output.String(); !strings.Contains(out, `"from": "127.0.0.2:`) || !strings.Contains(out, `"request": "GET /news"`) {
				t.Errorf("%s", out)
			}
		} else {
			servertest.Eventually(t, "all are counted", func() bool { return s.Metric(`c10m_closes_total{reason="request_origin"}`) == 3 })
		}
		if out := s.Output.String(); strings.Contains(out, "s3cret") || !wanted && logged() > 0 {
			t.Errorf("%s: %s", level, out)
		}
	}
}

// A refusal that the log leaves out is counted: what it shows and what is counted so are
// all refusals.
func TestRefusalsThatAreNotLoggedAreCounted(t *testing.T) {
	s := servertest.StartServer(t, 0, "--log-level", "debug")
	sampled := func() float64 { return s.Metric("c10m_log_lines_sampled_total") }
	if sampled() != 0 || s.Metric("c10m_refusals_dropped_total") != 0 {
		t.Fatal("something is left out at the start")
	}
	// The log shows 100 a second: on a slow host it takes more than one burst.
	servertest.Eventually(t, "more come in a second than are shown", func() bool {
		clients := make([]net.Conn, 200)
		for i := range clients {
			var err error
			if clients[i], err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port)); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range clients {
			fmt.Fprint(c, "GET /-/none HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		for _, c := range clients {
			io.Copy(io.Discard, c)
			c.Close()
		}
		return sampled() > 0
	})
	servertest.Eventually(t, "each is shown or counted", func() bool {
		shown := strings.Count(s.Output.String(), "refused: request_reserved")
		return float64(shown)+sampled()+s.Metric("c10m_refusals_dropped_total") == s.Metric(`c10m_closes_total{reason="request_reserved"}`)
	})
}
