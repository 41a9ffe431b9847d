package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/alecthomas/kong"
)

type commandLine struct {
	Sends    sendsFlags    `cmd:"" default:"withargs" help:"Deliveries a second beside a loop that only sends, one thread at a time. This is what happens without a subcommand."`
	Connects connectsFlags `cmd:"" help:"Connects a second and memory of the whole host per connection, beside a program that only accepts."`
	Storm    stormFlags    `cmd:"" help:"How long it takes until all connections are back after all were dropped, beside a program that only accepts."`
	Pings    pingsFlags    `cmd:"" help:"Processor time for a ping and its pong over idle connections, beside a program that only pings."`
}

// commonFlags are those of every command.
type commonFlags struct {
	Server    string   `default:"bin/10m-server" help:"The server's program."`
	ServerArg []string `name:"server-arg" sep:"none" placeholder:"FLAG" help:"Further flag for the server; repeatable (--server-arg=--loops=1)."`
	FirstPort int      `default:"20000" help:"Where to look for free ports, upwards. Keep it below the local ports of clients (net.ipv4.ip_local_port_range)."`
	JSON      bool     `name:"json" help:"Print one JSON object on standard output."`
}

// roles are what this program is as a child of itself: everything that is
// measured runs in a process of its own, which begins anew with each side.
var roles = map[string]func(arguments []string) error{
	senderRole:   sendMain,
	acceptorRole: acceptMain,
	clientRole:   clientMain,
}

const (
	senderRole   = "as-sender"
	acceptorRole = "as-acceptor"
	clientRole   = "as-client"
)

// playRole reports whether the program was started in a role, and plays it.
func playRole() bool {
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		return false
	}
	if err := roles[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "floor %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	return true
}

func main() {
	if playRole() {
		return
	}
	c := commandLine{}
	command := kong.Parse(&c, kong.Name("floor"), kong.UsageOnError(),
		kong.Description("Measures a server beside a bare program that does the same with nothing but system calls, in one run."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// kong finds the Run method of the chosen command; what is bound here is
	// its argument.
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

// cores is how many processors both sides and the client share.
func cores() int { return runtime.NumCPU() }
