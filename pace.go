package main

import (
	"fmt"
	"strconv"

	"c10m/admin"
	"c10m/channel"
	"c10m/tuning"
)

// sweepRateMin is the least --sweep-rate: below it a message to a million takes
// more than a quarter of an hour.
const sweepRateMin = 1000

// sweepRate reads --sweep-rate: writes a second, 0 for no limit, or adaptive.
func (f *serveFlags) sweepRate() (perSecond int, adaptive bool, err error) {
	switch f.SweepRate {
	case "auto":
		return 0, true, nil
	case "off":
		return 0, false, nil
	}
	perSecond, err = strconv.Atoi(f.SweepRate)
	if err != nil || perSecond < sweepRateMin || perSecond > sweepRateMost {
		return 0, false, fmt.Errorf("--sweep-rate is %q and must be auto, off, or a number of writes a second between %d and %d", f.SweepRate, sweepRateMin, sweepRateMost)
	}
	return perSecond, false, nil
}

// pace sets the pace of the sweeps, until stop is called.
func (f *serveFlags) pace(pace *channel.Pace, sources *admin.Sources) (stop func()) {
	perSecond, adaptive, _ := f.sweepRate() // Validate has seen the error
	if !adaptive {
		pace.SetRate(float64(perSecond))
		sources.Pacer = &tuning.PacerStats{}
		return func() {}
	}
	pacer := tuning.NewPacer(tuning.ThisHost(), tuning.PacerConfig{Writes: pace.Writes, Bytes: pace.Bytes,
		Await: pace.Await, Interrupt: pace.Interrupt, SetRate: pace.SetRate, SetMost: pace.SetMost})
	sources.Pacer = pacer.Stats()
	return pacer.Watch()
}
