package peers

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"c10m/bench/load"
	"c10m/internal/child"
	"c10m/internal/patience"
)

// The programs that take plain WebSockets deliver each message to each of 200
// connections once, one after the other, with the client that measures them;
// and to channels of their own.
func TestPeersDeliver(t *testing.T) {
	const connections = 200
	for _, program := range []string{"../../baseline/evio", "epoll", "gorilla"} {
		for channel, messages := range map[string]int{"a b/ü": 20, "own/%d": connections} {
			t.Run(filepath.Base(program)+" "+channel, func(t *testing.T) {
				port, bus := startPeer(t, program)
				client, err := load.Start(load.Config{
					Spread:  load.Spread{Host: netip.MustParseAddr("127.0.0.1"), FirstPort: port, PerPort: 50_000, Connections: connections},
					Channel: channel, FirstSequence: 1, Loops: 2})
				if err != nil {
					t.Fatal(err)
				}
				defer client.Stop()
				ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
				defer cancel()
				if _, err := client.AwaitConnected(ctx); err != nil {
					t.Fatal(err)
				}
				publisher, err := load.DialBus(fmt.Sprintf("127.0.0.1:%d", bus), "")
				if err != nil {
					t.Fatal(err)
				}
				defer publisher.Close()
				run, err := client.Drive(ctx, load.Drive{Messages: messages, InFlight: 1, Send: client.Publisher(publisher, 256)})
				if err != nil || run.Messages != messages {
					t.Fatalf("%d of %d messages reached everybody: %v", run.Messages, messages, err)
				}
				s := client.Snapshot()
				expected := uint64(messages)
				if !client.OwnChannels() {
					expected *= connections
				}
				if s.Stamped != expected || s.Messages() != expected || s.Fault() != "" || s.Open != connections {
					t.Errorf("%d stamped messages of %d, %d open; %s", s.Stamped, expected, s.Open, s.Fault())
				}
			})
		}
	}
}

// startPeer builds a program and starts it, behind a Redis.
func startPeer(t *testing.T, program string) (port, bus int) {
	t.Helper()
	directory := t.TempDir()
	built := filepath.Join(directory, "peer")
	build := exec.Command("go", "build", "-o", built, ".")
	build.Dir = program // of the module that it belongs to
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ports, err := child.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	address := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	run := func(port int, program string, arguments ...string) {
		c, err := child.Start(exec.Command(program, arguments...), child.Kill)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Stop)
		ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
		defer cancel()
		if err := c.AwaitListener(ctx, address(port)); err != nil {
			t.Fatal(err)
		}
	}
	run(ports[1], "redis-server", "--port", fmt.Sprint(ports[1]), "--bind", "127.0.0.1", "--save", "", "--dir", directory)
	run(ports[0], built, "--listen", address(ports[0]), "--redis", address(ports[1]))
	return ports[0], ports[1]
}

// The templates are complete, and say what they are given.
func TestConfigurations(t *testing.T) {
	place := Place{Directory: os.TempDir(), Port: 23801, PublishPort: 23802, Workers: 3, Descriptors: 4567}
	for name, wanted := range map[string][]string{
		NchanConfig: {"worker_processes 3;", "worker_connections 4567;", "127.0.0.1:23801 ", "127.0.0.1:23802;", place.Directory + "/nginx.pid"},
		NATSConfig:  {`"127.0.0.1:23802"`, `listen: "127.0.0.1:23801"`, "max_connections: 4567"},
	} {
		var text strings.Builder
		if err := template.Must(template.New("").Option("missingkey=error").Parse(name)).Execute(&text, place); err != nil {
			t.Fatal(err)
		}
		for _, w := range wanted {
			if !strings.Contains(text.String(), w) {
				t.Errorf("%q is not in\n%s", w, text.String())
			}
		}
	}
}
