package main

import (
	"context"
	"os"
)

type stormFlags struct {
	rivalFlags
	Connections int `default:"200000" help:"Connections of each side, which are dropped and opened again as fast as it goes."`
	Rounds      int `default:"3" help:"Storms of each side, in turns."`
}

// Run measures and reports. All sides stay open throughout, since to open
// them takes longer than a storm; those that rest cost nothing.
func (f *stormFlags) Run(ctx context.Context) error {
	p, c, err := f.begin(stormKind, f.Connections, f.Rounds)
	if err != nil {
		return err
	}
	contenders := map[string]*contender{}
	for _, side := range c.sides {
		rival, err := startContender(ctx, p, side, f.Loops)
		if err != nil {
			return err
		}
		defer rival.stop()
		if _, err := rival.connect(ctx, wordOpen); err != nil {
			return err
		}
		contenders[side] = rival
	}
	for range f.Rounds {
		err := c.addRound(os.Stdout, func(side string) (outcome, error) {
			return contenders[side].connect(ctx, wordStorm)
		})
		if err != nil {
			return err
		}
	}
	return c.finish(os.Stdout)
}
