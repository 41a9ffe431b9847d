package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// settings are the command line.
type settings struct {
	Duration  time.Duration `default:"1h" help:"How long."`
	Seed      uint64        `env:"SOAK_SEED" help:"Repeats a run's faults, their order and their times; 0 chooses, and it is printed."`
	Progress  time.Duration `default:"1m" help:"How often a line of progress is printed."`
	Results   string        `default:"bench/results/soak" help:"Where the report goes: with .txt, .json and .html. Empty writes none."`
	FirstPort int           `default:"21000" help:"The server, Redis and the admin pages listen on this port and the two behind it. Below net.ipv4.ip_local_port_range nobody takes that of a Redis that is down. 0 takes free ones."`

	Server     string   `default:"bin/10m-server" help:"The server's program."`
	ServerArgs []string `name:"server-arg" help:"A further argument for the server; repeatable. The last of a flag counts."`
	Redis      string   `default:"redis-server" help:"The program of Redis."`

	Steady       int     `default:"6000" help:"Connections that stay, on one channel."`
	FanoutRate   float64 `default:"1" help:"Messages a second to that channel."`
	FanoutBytes  int     `default:"256"`
	Own          int     `default:"3000" help:"Connections that stay, each on a channel of its own."`
	UnicastRate  float64 `default:"200" help:"Messages a second to random ones of those."`
	UnicastBytes int     `default:"128"`
	Churners     int     `default:"2000" help:"Connections on the one channel that leave and come back."`
	ChurnRate    float64 `default:"200" help:"How many of them a second."`
	Bulk         int     `default:"100" help:"Connections that stay on the channel of long messages, and read."`
	BulkRate     float64 `default:"1" help:"Long messages a second."`
	BulkBytes    int     `default:"16384"`

	Slow           int           `default:"300" help:"Connections on that channel that never read."`
	SlowLife       time.Duration `default:"1m" help:"How long such a one stays at most, before another comes."`
	GarbageWorkers int           `default:"40" help:"Connections at a time that are no WebSockets, or break the protocol."`
	GarbageRest    time.Duration `default:"1s" help:"The mean pause between two of one worker."`

	Faults     []string      `name:"fault" help:"Kinds of faults; all, if none is named. Repeatable."`
	FaultEvery time.Duration `default:"45s" help:"The mean pause between two faults."`
	FaultsMax  int           `help:"How many at most; 0 is no limit."`
}

// Validate is called by kong; its error is for the operator.
func (s *settings) Validate() error {
	for _, name := range s.Faults {
		if !slices.Contains(faultNames(), name) {
			return fmt.Errorf("--fault %s is not known; the kinds are %s", name, strings.Join(faultNames(), ", "))
		}
	}
	for name, n := range map[string]float64{"duration": float64(s.Duration), "progress": float64(s.Progress), "fault-every": float64(s.FaultEvery),
		"steady": float64(s.Steady), "own": float64(s.Own), "churners": float64(s.Churners), "bulk": float64(s.Bulk),
		"slow": float64(s.Slow), "garbage-workers": float64(s.GarbageWorkers), "slow-life": float64(s.SlowLife),
		"fanout-rate": s.FanoutRate, "unicast-rate": s.UnicastRate, "bulk-rate": s.BulkRate, "churn-rate": s.ChurnRate} {
		if n <= 0 {
			return fmt.Errorf("--%s must be more than 0", name)
		}
	}
	return nil
}

// kinds are the faults that were asked for.
func (s *settings) kinds() (kinds []faultKind) {
	for _, k := range faultKinds {
		if len(s.Faults) == 0 || slices.Contains(s.Faults, k.name) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// The exit status.
const (
	statusFailed      = 1   // a check, or the surroundings
	statusInterrupted = 130 // as shells have it for SIGINT
)

func main() {
	var s settings
	kong.Parse(&s, kong.Name("soak"), kong.UsageOnError(),
		kong.Description("Runs churn, fan-out, unicast, slow readers, garbage and faults of the bus together, and checks what is left in the end."))
	os.Exit(runMain(s))
}

func runMain(s settings) int {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if s.Seed == 0 {
		s.Seed = rand.Uint64()
	}
	result, err := run(ctx, s, os.Stdout)
	if err == nil {
		err = write(os.Stdout, s.Results, result)
	}
	switch {
	case errors.Is(err, errInterrupted), ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "soak:", errInterrupted)
		return statusInterrupted
	case err != nil:
		fmt.Fprintln(os.Stderr, "soak:", err)
		return statusFailed
	case !passed(result):
		fmt.Printf("soak: FAILED; SOAK_SEED=%d repeats the faults\n", s.Seed)
		return statusFailed
	}
	fmt.Println("soak: passed")
	return 0
}
