package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/internal/servertest"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
)

const unitFile = "10m-server.service"

// directive returns the value of a directive that stands in the unit once.
func directive(t *testing.T, name string) string {
	t.Helper()
	matches := regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(read(t, unitFile), -1)
	if len(matches) != 1 {
		t.Fatalf("%s stands in the unit %d times", name, len(matches))
	}
	return matches[0][1]
}

func TestUnitIsGood(t *testing.T) {
	systemd := look(t, "systemd-analyze")
	unit := rewrite(t, read(t, unitFile), "/usr/local/bin/10m-server\n", servertest.Binary("10m-server")+"\n")
	file := filepath.Join(t.TempDir(), unitFile)
	if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	// verify warns of what it does not understand and still succeeds.
	if out, err := exec.Command(systemd, "verify", "--man=no", file).CombinedOutput(); err != nil || strings.Contains(string(out), unitFile) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// From 0, nothing can go wrong, to 100.
	if out, err := exec.Command(systemd, "security", "--offline=true", "--threshold=20", file).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// What the unit says of flags is so.
func TestUnitAgreesWithTheFlags(t *testing.T) {
	help, err := exec.Command(servertest.Binary("10m-server"), "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	match := regexp.MustCompile(`--drain=(\S+)`).FindSubmatch(help)
	if match == nil {
		t.Fatalf("the help has no --drain:\n%s", help)
	}
	drain, err := time.ParseDuration(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	// conn waits 5 s for the last words to be read, main 3 s each for bus and pages.
	var stop int
	if fmt.Sscan(directive(t, "TimeoutStopSec"), &stop); time.Duration(stop)*time.Second < drain+11*time.Second {
		t.Errorf("TimeoutStopSec is %d s, and the server drains for %v", stop, drain)
	}
	variables := regexp.MustCompile(`C10M_[A-Z_]+`).FindAllString(read(t, unitFile), -1)
	if len(variables) < 3 {
		t.Errorf("the unit names %q", variables)
	}
	for _, variable := range variables {
		if !strings.Contains(string(help), "$"+variable) {
			t.Errorf("%s is no variable of the server", variable)
		}
	}
	for name, want := range map[string]string{
		"KillSignal": "SIGTERM", "DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict",
		"ExecReload": "/bin/kill -HUP $MAINPID", "SystemCallFilter": "@system-service",
	} {
		if got := directive(t, name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
}

// allowedCalls is the unit's SystemCallFilter, groups resolved, with what systemd
// always allows, as far as this architecture has them.
func allowedCalls(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(look(t, "systemd-analyze"), "syscall-filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	groups := make(map[string][]string)
	group := ""
	for line := range strings.Lines(string(out)) {
		word := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "@"):
			group = word
		case word != "" && word[0] != '#' && strings.HasPrefix(line, " "):
			groups[group] = append(groups[group], word)
		}
	}
	info, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	var add func(name string)
	add = func(name string) {
		if strings.HasPrefix(name, "@") {
			if len(groups[name]) == 0 {
				t.Fatalf("systemd knows no %s", name)
			}
			for _, member := range groups[name] {
				add(member)
			}
		} else if _, exists := info.SyscallNames[name]; exists && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	add("@default")
	for _, name := range strings.Fields(directive(t, "SystemCallFilter")) {
		add(name)
	}
	return all
}

// The server works with the system calls that the unit leaves it, with
// descriptor tables of its own (unshare), short slices (sched_setattr) and bound
// loops (sched_setaffinity); any other kills it, as with systemd.
func TestServerWorksInTheUnitsSandbox(t *testing.T) {
	calls := allowedCalls(t)
	for _, needed := range []string{"unshare", "sched_setattr", "sched_setaffinity", "prlimit64"} {
		if !slices.Contains(calls, needed) {
			t.Errorf("the unit does not allow %s", needed)
		}
	}
	for _, extra := range []string{"mount", "ptrace", "reboot", "bpf", "init_module"} {
		if slices.Contains(calls, extra) {
			t.Errorf("the unit allows %s", extra)
		}
	}
	list := filepath.Join(t.TempDir(), "calls")
	if err := os.WriteFile(list, []byte(strings.Join(calls, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &servertest.Server{Port: servertest.FreePort(t), Bus: servertest.FreePort(t), Admin: servertest.FreePort(t)}
	s.Process = servertest.Start(t, "sh", "-c", `ulimit -n 2000; exec "$0" "$@"`, os.Args[0], sandboxArgument, list,
		servertest.Binary("10m-server"), "--listen", fmt.Sprintf("127.0.0.1:%d", s.Port), "--bus-listen", fmt.Sprintf("127.0.0.1:%d", s.Bus),
		"--admin", fmt.Sprintf("127.0.0.1:%d", s.Admin), "--drain", "1s", "--max-connections", "4000", "--pin", "on",
		"--address-connections", "10")
	servertest.Eventually(t, "the server is up", func() bool {
		if s.Ended() {
			t.Fatalf("the server ended (%v):\n%s", s.Cmd.ProcessState, s.Output.String())
		}
		return strings.HasPrefix(s.Get("/readyz"), "200") && strings.Contains(s.Output.String(), "connect:")
	})
	if !strings.Contains(s.Output.String(), "a descriptor table each") {
		t.Errorf("no tables of their own:\n%s", s.Output.String())
	}
	c := s.Dial(t, "news")
	if got := servertest.RedisCLI(t, s.Bus, "PUBLISH", "news", "hello"); got != "1" || c.Next(t) != "hello" {
		t.Errorf("PUBLISH printed %q", got)
	}
	s.Signal(syscall.SIGTERM)
	if code := c.CloseCode(); code != 1012 {
		t.Errorf("closed with %d", code)
	}
	c.Close()
	if status := s.Wait(); status != 0 {
		t.Errorf("exit status %d, %v", status, s.Cmd.ProcessState)
	}
}

// The sandbox itself works: without one of the calls the server dies.
func TestSandboxKills(t *testing.T) {
	calls := slices.DeleteFunc(allowedCalls(t), func(name string) bool { return name == "epoll_create1" })
	list := filepath.Join(t.TempDir(), "calls")
	if err := os.WriteFile(list, []byte(strings.Join(calls, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	p := servertest.Start(t, os.Args[0], sandboxArgument, list, servertest.Binary("10m-server"),
		"--listen", fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t)), "--bus-listen", "127.0.0.1:0", "--admin", "off")
	if status := p.Wait(); status != -1 || !strings.Contains(p.Cmd.ProcessState.String(), "bad system call") {
		t.Errorf("it ended with %v", p.Cmd.ProcessState)
	}
}

// sandboxArgument makes this test program run another under a filter: its next
// argument is a file with the system calls that are allowed.
const sandboxArgument = "run-in-sandbox"

func sandbox(list string, command []string) {
	text, err := os.ReadFile(list)
	if err == nil {
		err = seccomp.LoadFilter(seccomp.Filter{
			NoNewPrivs: true,
			Flag:       seccomp.FilterFlagTSync,
			Policy: seccomp.Policy{
				DefaultAction: seccomp.ActionKillProcess,
				Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionAllow, Names: strings.Fields(string(text))}},
			},
		})
	}
	if err == nil {
		err = syscall.Exec(command[0], command, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "sandbox:", err)
	os.Exit(3)
}
