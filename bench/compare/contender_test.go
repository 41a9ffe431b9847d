package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/internal/patience"
)

// The test's own program is every server of the comparison: under a link with
// its name it listens wherever its arguments and its configuration say.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); !strings.HasSuffix(name, ".test") && !strings.HasPrefix(name, "compare") {
		pretend(name, os.Args[1:])
		return
	}
	os.Exit(m.Run())
}

// notes is the variable with the directory where pretenders leave notes.
const notes = "COMPARE_TEST_NOTES"

var endpoint = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// pretend writes its arguments down and listens until it is told to
// end, at most a minute. A server that subscribes checks that its bus is there
// already.
func pretend(name string, arguments []string) {
	note := filepath.Join(os.Getenv(notes), name)
	os.WriteFile(note+".arguments", []byte(strings.Join(arguments, " ")), 0o666)
	var listen []string
	for i := 0; i+1 < len(arguments); i++ {
		switch arguments[i] {
		case "--listen", "--bus-listen", "--admin":
			listen = append(listen, arguments[i+1])
		case "--port":
			listen = append(listen, "127.0.0.1:"+arguments[i+1])
		case "-c":
			config, err := os.ReadFile(arguments[i+1])
			if err != nil {
				panic(err)
			}
			listen = append(listen, endpoint.FindAllString(string(config), -1)...)
		case "--redis", "--bus", "--to":
			conn, err := net.Dial("tcp", endpoint.FindString(arguments[i+1]))
			if err != nil {
				panic(err)
			}
			conn.Close()
		}
	}
	for _, address := range listen {
		if _, err := net.Listen("tcp", address); err != nil {
			panic(err)
		}
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	select {
	case <-asked:
		os.WriteFile(note+".asked", nil, 0o666)
	case <-time.After(patience.Guard):
	}
}

// pretenders makes links of all names, also on the PATH.
func pretenders(t *testing.T) (bin string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin = t.TempDir()
	if err := os.Mkdir(filepath.Join(bin, "baseline"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"10m-server", "redis-server", "nginx", "baseline/gorilla", "baseline/epoll", "baseline/evio",
		"baseline/centrifuge", "baseline/bridge", "baseline/nats-server"} {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv(notes, bin)
	return bin
}

// Every contender starts what it needs in the right order, can be reached
// where the client will look, and leaves nothing behind.
func TestContendersStartAndStop(t *testing.T) {
	processes := map[string][]string{
		"c10m":          {"10m-server"},
		"c10m-unpinned": {"10m-server"},
		"c10m-redis":    {"redis-server", "10m-server"},
		"gorilla":       {"redis-server", "baseline/gorilla"},
		"epoll":         {"redis-server", "baseline/epoll"},
		"evio":          {"redis-server", "baseline/evio"},
		"centrifuge":    {"redis-server", "baseline/centrifuge"},
		"nchan":         {"nginx", "baseline/bridge"},
		"nats":          {"baseline/nats-server", "baseline/bridge"},
	}
	for _, c := range contenders {
		t.Run(c.name, func(t *testing.T) {
			bin := pretenders(t)
			s, err := newStage(t.Context(), &flags{Bin: bin, Connections: 100})
			if err != nil {
				t.Fatal(err)
			}
			defer s.stop()
			if err := c.start(s); err != nil {
				t.Fatal(err)
			}
			for _, port := range []int{s.port, s.bus} {
				conn, err := net.Dial("tcp", local(port))
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
			}
			if len(s.children) != len(processes[c.name]) || !slices.Contains(s.children, s.server) || s.port == s.bus {
				t.Errorf("%d children; ports %d and %d", len(s.children), s.port, s.bus)
			}
			for _, program := range processes[c.name] {
				if _, err := os.Stat(filepath.Join(bin, filepath.Base(program)+".arguments")); err != nil {
					t.Error(err)
				}
			}
			s.stop()
			for _, one := range s.children {
				if one.Died() == nil {
					t.Error("a child outlives its stage")
				}
			}
			// nginx has workers, and only it can end them.
			if _, err := os.Stat(filepath.Join(bin, "nginx.asked")); (err == nil) != (c.name == "nchan") {
				t.Errorf("asked to end: %v", err)
			}
			if _, err := os.Stat(s.directory); err == nil {
				t.Error("the stage's files are still there")
			}
		})
	}
}

// What the programs are told.
func TestArguments(t *testing.T) {
	for name, wanted := range map[string]string{
		"c10m":       `10m-server: --bus-listen 127.0.0.1:BUS --admin \S+ --listen 127.0.0.1:PORT --max-connections 50000`,
		"c10m-redis": `10m-server: --bus redis://127.0.0.1:BUS --admin \S+ --listen 127.0.0.1:PORT --max-connections 50000`,
		"evio":       `evio: --listen 127.0.0.1:PORT --redis 127.0.0.1:BUS`,
		"nchan":      `bridge: --listen 127.0.0.1:BUS --to http://127.0.0.1:\d+/pub/`,
		"nats":       `bridge: --listen 127.0.0.1:BUS --to nats://127.0.0.1:\d+`,
	} {
		chosen, err := choose(contenders, []string{name}, "--servers")
		if err != nil {
			t.Fatal(err)
		}
		bin := pretenders(t)
		s, err := newStage(t.Context(), &flags{Bin: bin, Connections: 50_000})
		if err != nil {
			t.Fatal(err)
		}
		defer s.stop()
		s.descriptors = 20_000 // whatever this host gives
		if err := chosen[0].start(s); err != nil {
			t.Fatal(err)
		}
		program, pattern, _ := strings.Cut(wanted, ": ")
		pattern = strings.NewReplacer("PORT", fmt.Sprint(s.port), "BUS", fmt.Sprint(s.bus)).Replace(pattern)
		got, _ := os.ReadFile(filepath.Join(bin, program+".arguments"))
		if !regexp.MustCompile("^" + pattern + "$").Match(got) {
			t.Errorf("%s: %q is not %q", name, got, pattern)
		}
		s.stop()
	}
}

// A program that is not there is named, and so is what installs it.
func TestMissingPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for name, wanted := range map[string]string{"c10m": "10m-server", "gorilla": "install-compare-deps", "nats": "nats-server"} {
		chosen, err := choose(contenders, []string{name}, "--servers")
		if err != nil {
			t.Fatal(err)
		}
		o := measure(t.Context(), &flags{Bin: t.TempDir(), Connections: 10}, chosen[0], scenarios[0])
		if !strings.Contains(o.Reason, wanted) {
			t.Errorf("%s: %q", name, o.Reason)
		}
	}
}

// Versions are read from programs as they were built; this test is one, with
// kong in it.
func TestVersions(t *testing.T) {
	bin := pretenders(t)
	if got := module("gorilla", "github.com/alecthomas/kong")(bin); !strings.HasPrefix(got, "v1.") {
		t.Errorf("kong %q", got)
	}
	if got := module("gorilla", "example.com/none")(bin); got != "unknown" {
		t.Errorf("a module that is not there: %q", got)
	}
	if got := module("none", "github.com/alecthomas/kong")(bin); got != "unknown" {
		t.Errorf("a program that is not there: %q", got)
	}
}
