// 10m-client opens very many WebSockets to one server and reports what arrives:
//
//	10m-client 127.0.0.1 100000
//
// It prints a line a second while something happens, and a summary at the end
// (SIGINT, --hold, --expect, --publish). Its exit status is 0 only if every
// connection was made and, with --expect or --publish, every connection got
// each message exactly once. How it works, what it costs and where it ends
// stands in package c10m/bench/load; this package is flags and lines of text.
package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"c10m/bench/load"
)

type flags struct {
	Host        string `arg:"" help:"Name or address of the server."`
	Connections int    `arg:"" help:"How many connections to open."`

	FirstPort int    `default:"10000" help:"The port of the first connections."`
	PerPort   int    `default:"50000" help:"Connections to a port before the next port is taken. More spare the server listeners; one source address has 28,000 ports, so a loopback client takes another address of 127.0.0.0/8 every 12,500."`
	Channel   string `default:"news" help:"The channel to subscribe to. With %d in it, every connection has a channel of its own, with its number."`
	Dialect   string `default:"c10m" enum:"c10m,nchan,centrifuge,nats" help:"How the server is spoken to; others than c10m are for comparisons."`
	Source    string `placeholder:"ADDRESS,..." help:"Source addresses, for a host that is not loopback. One is needed for every 12,500 connections per port."`

	Rate     int           `default:"0" help:"Connects per second; 0 is as fast as it goes, which a server that is busy with other things feels."`
	UnderWay int           `default:"0" help:"Handshakes under way per loop; more fill the server's accept queue, and a SYN that finds it full costs a second. 0 chooses 16 to 256 by the number of loops."`
	Timeout  time.Duration `default:"10s" help:"For connect and upgrade of one connection."`
	Retries  int           `default:"5" help:"How often a connection is tried again that was refused, reset or timed out, after 0.1 s, 0.2 s and so on. 10 at most."`
	Loops    int           `default:"0" help:"Threads. 0 is one per core, or more if the hard limit of open files asks for more descriptor tables; more than cores cost switches."`
	Private  bool          `help:"A descriptor table for each loop even when one would do: no shared table lock."`

	Expect int           `placeholder:"N" help:"End when every connection has got N messages, with status 0 if no connection got one lost, twice or broken. Stamped messages then have to begin with sequence 1."`
	Hold   time.Duration `placeholder:"DURATION" help:"End this long after all connections were made. Without --hold, --expect and --publish, the client stays until SIGINT."`
	Print  bool          `help:"Print each distinct message once, with how many connections got it. Costs a hash of every payload."`
	JSON   bool          `name:"json" help:"Print the summary as one JSON object, and nothing else, on standard output."`

	Publish     int    `placeholder:"N" help:"Publish N stamped messages through the bus, each when the one before has reached everybody, and measure."`
	Size        int    `default:"256" help:"Payload bytes of a published message; at least 40."`
	InFlight    int    `default:"1" help:"Messages under way at a time, up to 64. More let the server put several into one system call: more deliveries a second, longer latencies."`
	Bus         string `default:"127.0.0.1:6379" help:"Where to publish."`
	BusPassword string `env:"C10M_BUS_PASSWORD" help:"Password of the bus."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("10m-client"),
		kong.Description("Opens very many WebSockets to one server, checks and counts what arrives."))
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	good, err := run(ctx, f)
	if err != nil {
		fmt.Fprintf(os.Stderr, "10m-client: %v\n", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// config turns flags into what package load wants.
func (f *flags) config() (load.Config, error) {
	config := load.Config{
		Channel:          f.Channel,
		Rate:             f.Rate,
		UnderWay:         f.UnderWay,
		HandshakeTimeout: f.Timeout,
		Retries:          f.Retries,
		Expect:           f.Expect,
		Print:            f.Print,
		Loops:            f.Loops,
		PrivateFDTables:  f.Private,
	}
	if f.Expect > 0 || f.Publish > 0 {
		config.FirstSequence = 1
	}
	if f.Publish > 0 && f.Size < load.StampBytes {
		return config, fmt.Errorf("--size is %d; a stamped payload has at least %d bytes", f.Size, load.StampBytes)
	}
	host, err := resolve(f.Host)
	if err != nil {
		return config, err
	}
	if config.Dialect, err = load.DialectOf(f.Dialect); err != nil {
		return config, err
	}
	sources, err := load.ParseSources(f.Source)
	if err != nil {
		return config, err
	}
	config.Spread = load.Spread{Host: host, FirstPort: f.FirstPort, PerPort: f.PerPort,
		Sources: sources, Connections: f.Connections}
	return config, nil
}

// resolve takes the first IPv4 address, or else the first of any kind.
func resolve(host string) (netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap(), nil
	}
	addresses, err := net.LookupIP(host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("cannot find the host %s: %w", host, err)
	}
	best := addresses[0]
	for _, a := range addresses {
		if a.To4() != nil {
			best = a
			break
		}
	}
	address, _ := netip.AddrFromSlice(best)
	return address.Unmap(), nil
}
