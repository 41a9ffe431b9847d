package main

import (
	"sync/atomic"
	"time"

	"c10m/conn/reasons"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger logs to standard error, for people or, as JSON, for programs. sampled counts
// the lines that it leaves out.
func newLogger(format, level string) (log *zap.Logger, sampled *atomic.Uint64) {
	config := zap.NewProductionConfig()
	sampled = &atomic.Uint64{}
	config.Sampling.Hook = func(_ zapcore.Entry, decision zapcore.SamplingDecision) {
		if decision&zapcore.LogDropped != 0 {
			sampled.Add(1)
		}
	}
	config.Encoding, config.EncoderConfig = "console", zap.NewDevelopmentEncoderConfig()
	if format == "json" {
		config.Encoding, config.EncoderConfig = "json", zap.NewProductionEncoderConfig()
		config.EncoderConfig.TimeKey, config.EncoderConfig.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	}
	config.DisableStacktrace, config.DisableCaller = true, true
	atLevel, err := zap.ParseAtomicLevel(level)
	if err != nil {
		panic("BUG: " + err.Error()) // the flag takes no other
	}
	config.Level = atLevel
	if log, err = config.Build(); err != nil {
		panic("BUG: " + err.Error())
	}
	return log, sampled
}

// refusalsEvery is how often refusals are logged, with --log-level debug only: until
// then no timer runs for them.
const refusalsEvery = 100 * time.Millisecond

// refusals are what loops tell of who was refused, if debug messages are logged.
func refusals(log *zap.Logger) *reasons.Refusals {
	if !log.Core().Enabled(zap.DebugLevel) {
		return nil
	}
	r := &reasons.Refusals{}
	go func() {
		var told uint64
		for range time.Tick(refusalsEvery) {
			// The logger samples by message: a reason, a second.
			r.Take(func(refusal *reasons.Refusal) {
				log.Debug("refused: "+refusal.Reason.String(), zap.Stringer("from", refusal.Peer), zap.String("request", refusal.Line()))
			})
			if dropped := r.Dropped(); dropped != told {
				log.Debug("refusals that came too fast to be told", zap.Uint64("more", dropped-told))
				told = dropped
			}
		}
	}()
	return r
}
