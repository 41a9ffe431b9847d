package main

import (
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"c10m/bench/compare/peers"
	"c10m/internal/child"
)

// A contender is a server of the comparison.
type contender struct {
	name    string
	title   string // in the table
	dialect string
	// start starts the server, and what feeds it before.
	start func(*stage) error
	// version is what is measured, read from the program itself.
	version func(bin string) string
}

func (c contender) id() string { return c.name }

// contenders stand in the table in this order: c10m, the Go designs from the
// most to the least usual, and the servers that are no library.
var contenders = []contender{
	{"c10m", "c10m", "c10m", startC10M(), revision},
	{"c10m-unpinned", "c10m, --pin off", "c10m", startC10M("--pin", "off"), revision},
	{"c10m-redis", "c10m, Redis", "c10m", startC10MOnRedis, revision},
	{"gorilla", "gorilla/websocket", "c10m", fed("gorilla"), module("gorilla", "github.com/gorilla/websocket")},
	{"epoll", "gobwas/ws on epoll", "c10m", fed("epoll"), module("epoll", "github.com/gobwas/ws")},
	{"evio", "tidwall/evio", "c10m", fed("evio"), module("evio", "github.com/tidwall/evio")},
	{"centrifuge", "centrifuge", "centrifuge", fed("centrifuge"), module("centrifuge", "github.com/centrifugal/centrifuge")},
	{"nchan", "nchan (nginx)", "nchan", startNchan, nchanVersion},
	{"nats", "NATS server", "nats", startNATS, module("nats-server", "github.com/nats-io/nats-server/v2")},
}

// startC10M starts the server as make run does, with its embedded bus, and these flags.
func startC10M(flags ...string) func(*stage) error {
	return func(s *stage) error {
		ports, err := child.FreePorts(3)
		if err != nil {
			return err
		}
		s.port, s.bus = ports[0], ports[1]
		return s.startC10M(append([]string{"--bus-listen", local(ports[1]), "--admin", local(ports[2])}, flags...)...)
	}
}

// startC10MOnRedis starts it as one of several that share a Redis: the same way
// in as the baselines have.
func startC10MOnRedis(s *stage) error {
	if err := s.startRedis(); err != nil {
		return err
	}
	ports, err := child.FreePorts(2)
	if err != nil {
		return err
	}
	s.port = ports[0]
	return s.startC10M("--bus", "redis://"+local(s.bus), "--admin", local(ports[1]))
}

func (s *stage) startC10M(arguments ...string) (err error) {
	arguments = append(arguments, "--listen", local(s.port))
	// By default it takes what one descriptor table holds. More is what it is
	// made for, but needs to be said.
	if s.connections > s.descriptors-descriptorsSpare {
		arguments = append(arguments, "--max-connections", fmt.Sprint(s.connections))
	}
	s.server, err = s.run(child.Kill, filepath.Join(s.bin, "10m-server"), arguments...)
	if err != nil {
		return err
	}
	return s.await(s.server, s.port, s.bus)
}

// descriptorsSpare is what c10m keeps back of a descriptor table, and more.
const descriptorsSpare = 600

// fed starts a baseline that subscribes at a Redis.
func fed(program string) func(*stage) error {
	return func(s *stage) error {
		if err := s.startRedis(); err != nil {
			return err
		}
		ports, err := child.FreePorts(1)
		if err != nil {
			return err
		}
		s.port = ports[0]
		s.server, err = s.run(child.Kill, s.baseline(program), "--listen", local(s.port), "--redis", local(s.bus))
		if err != nil {
			return err
		}
		return s.await(s.server, s.port)
	}
}

// startNchan starts a master with its workers. The master is asked to end,
// since killed it would leave the workers behind.
func startNchan(s *stage) error {
	// One worker for each core, and more if the descriptors of those do not
	// suffice: the kernel spreads connections unevenly over workers.
	workers := max(runtime.NumCPU(), 2*s.connections/s.descriptors)
	place, config, err := s.configure(peers.NchanConfig, workers)
	if err != nil {
		return err
	}
	s.server, err = s.run(child.Ask, nginx(), "-e", "stderr", "-c", config)
	if err != nil {
		return fmt.Errorf("%w; scripts/install-compare-deps installs it", err)
	}
	if err := s.await(s.server, place.Port, place.PublishPort); err != nil {
		return err
	}
	return s.startBridge(fmt.Sprintf("http://%s/pub/", local(place.PublishPort)))
}

// startNATS starts one process; its goroutines use all cores.
func startNATS(s *stage) error {
	place, config, err := s.configure(peers.NATSConfig, 1)
	if err != nil {
		return err
	}
	if s.server, err = s.run(child.Kill, s.baseline("nats-server"), "-c", config); err != nil {
		return err
	}
	if err := s.await(s.server, place.Port, place.PublishPort); err != nil {
		return err
	}
	return s.startBridge("nats://" + local(place.PublishPort))
}

// nginx is where Debian has it, which is not on every PATH.
func nginx() string {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path
	}
	return "/usr/sbin/nginx"
}

// revision is what git calls this tree.
func revision(string) string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--tags").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// module reads the version of a module that a program was built with.
func module(program, path string) func(string) string {
	return func(bin string) string {
		info, err := buildinfo.ReadFile(filepath.Join(bin, "baseline", program))
		if err != nil {
			return "unknown"
		}
		// A program of the module itself, such as nats-server, has no
		// dependency on it.
		if info.Main.Path == path {
			return info.Main.Version
		}
		for _, dependency := range info.Deps {
			if dependency.Path == path {
				return dependency.Version
			}
		}
		return "unknown"
	}
}

// nchanVersion asks the distribution, whose packages nchan and nginx are.
func nchanVersion(string) string {
	out, err := exec.Command("dpkg-query", "--show", "--showformat", "${Version} ", "libnginx-mod-nchan", "nginx").Output()
	versions := strings.Fields(string(out))
	if err != nil || len(versions) != 2 {
		return "unknown"
	}
	return fmt.Sprintf("%s, nginx %s", versions[0], versions[1])
}

// descriptors is the hard limit of open files, which all children raise theirs
// to.
func descriptors() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	return int(min(limit.Max, 1<<20)), nil
}
