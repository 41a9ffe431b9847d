package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type flags struct {
	Connections int           `default:"18000" help:"Connections to each server. More than about 18,500 need a hard nofile limit above 20,000, or only c10m can hold them."`
	Rounds      int           `default:"3" help:"How often everything is measured; the table has the medians, and the worst of them."`
	Duration    time.Duration `default:"10s" help:"How long each scenario publishes, and how long idling is watched."`
	Size        int           `default:"256" help:"Payload bytes of a message."`
	Servers     []string      `placeholder:"NAME,..." help:"Only these: ${servers}."`
	Scenarios   []string      `placeholder:"NAME,..." help:"Only these: ${scenarios}."`
	Bin         string        `default:"bin" help:"Where the programs are that make build and make baselines put there."`
	Out         string        `default:"bench/results" help:"Where compare.json, compare.md and the plots go."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("compare"), kong.Vars{"servers": names(contenders), "scenarios": names(scenarios)},
		kong.Description("Measures c10m and other servers with the same client, and writes a table."))
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, f); err != nil {
		fmt.Fprintf(os.Stderr, "compare: %v\n", err)
		os.Exit(1)
	}
}

// run measures everything and writes the results. What fails is a result, too;
// an error is about the command line, the files, or an interruption.
func run(ctx context.Context, f flags) error {
	if f.Connections < 1 || f.Rounds < 1 || f.Duration < minDuration {
		return fmt.Errorf("--connections and --rounds are at least 1, and --duration %v", minDuration)
	}
	servers, err := choose(contenders, f.Servers, "--servers")
	if err != nil {
		return err
	}
	tests, err := choose(scenarios, f.Scenarios, "--scenarios")
	if err != nil {
		return err
	}
	c := newComparison(f, servers)
	for round := range f.Rounds {
		for _, test := range tests {
			for i := range servers {
				// Another one begins each time.
				server := servers[(i+round)%len(servers)]
				o := measure(ctx, &f, server, test)
				if ctx.Err() != nil {
					return errors.New("interrupted; nothing is written")
				}
				o.Round = round + 1
				c.add(o)
				fmt.Printf("round %d of %d  %-12s %-11s %s\n", round+1, f.Rounds, test.name, server.name, o.line())
			}
		}
	}
	return c.write(f.Out)
}

// A named thing can be chosen on the command line.
type named interface{ id() string }

// choose returns the wanted ones in the order wanted, or all.
func choose[T named](all []T, wanted []string, flag string) (chosen []T, err error) {
	if len(wanted) == 0 {
		return all, nil
	}
	for _, name := range wanted {
		found := false
		for _, one := range all {
			if one.id() == name {
				chosen, found = append(chosen, one), true
			}
		}
		if !found {
			return nil, fmt.Errorf("%s names %q; there are %s", flag, name, names(all))
		}
	}
	return chosen, nil
}

// names are those that can be chosen.
func names[T named](all []T) (text string) {
	for i, one := range all {
		if i > 0 {
			text += ", "
		}
		text += one.id()
	}
	return text
}
