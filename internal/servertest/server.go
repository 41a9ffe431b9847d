/*
Package servertest runs the real binaries as an operator would (flags, signals,
redis-cli, a real Redis), for the tests of this module that need a whole server:
those of the root, of faults and others.

A test package that uses it has

	func TestMain(m *testing.M) { servertest.Main(m) }

which builds 10m-server and 10m-client once. Ports are free ones below those that
the kernel gives to whoever connects (FreePort); all processes are children that end with
the test or, if the test dies, with it.
*/
package servertest

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A Server is a running 10m-server on ports of its own.
type Server struct {
	*Process
	Port, Bus, Admin int
}

// StartServer starts a server and waits until it is up. Its hard nofile limit is
// nofile, or what there is if that is 0. Later flags win, so args may replace
// those that it gives (--listen, --bus-listen, --admin, --drain).
func StartServer(t testing.TB, nofile int, args ...string) *Server {
	t.Helper()
	return (&Server{Port: FreePort(t), Bus: FreePort(t), Admin: FreePort(t)}).StartAgain(t, nofile, args...)
}

// StartAgain starts another server on all the ports of s, which must have ended
// (the bus and the admin pages do not share theirs).
func (s *Server) StartAgain(t testing.TB, nofile int, args ...string) *Server {
	t.Helper()
	s = &Server{Port: s.Port, Bus: s.Bus, Admin: s.Admin}
	all := append([]string{
		"--listen", fmt.Sprintf("127.0.0.1:%d", s.Port), "--bus-listen", fmt.Sprintf("127.0.0.1:%d", s.Bus),
		"--admin", fmt.Sprintf("127.0.0.1:%d", s.Admin), "--drain", "1s",
	}, args...)
	command := Binary("10m-server")
	if nofile != 0 {
		all = append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, nofile), command}, all...)
		command = "sh"
	}
	s.Process = Start(t, command, all...)
	Eventually(t, "the server's greeting", func() bool {
		if s.Ended() {
			t.Fatalf("the server ended:\n%s", s.Output.String())
		}
		return strings.Contains(s.Output.String(), "connect:") && s.Get("/metrics") != ""
	})
	return s
}

// Get returns status and body of a page of the admin address, "" if it does not
// answer.
func (s *Server) Get(path string) string {
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.Admin, path))
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return fmt.Sprintf("%d %s", answer.StatusCode, body)
}

// Healthy and Ready report whether /healthz and /readyz answer 200.
func (s *Server) Healthy() bool { return strings.HasPrefix(s.Get("/healthz"), "200") }
func (s *Server) Ready() bool   { return strings.HasPrefix(s.Get("/readyz"), "200") }

// Metric returns the value of one line of /metrics, labels and all, or -1 if
// there is none.
func (s *Server) Metric(name string) float64 {
	match := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(s.Get("/metrics"))
	if match == nil {
		return -1
	}
	value, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		return -1
	}
	return value
}
