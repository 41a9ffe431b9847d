package main

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger logs to standard error, for people or, as JSON, for programs.
func newLogger(format, level string) *zap.Logger {
	config := zap.NewProductionConfig()
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
	log, err := config.Build()
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return log
}
