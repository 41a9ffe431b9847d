package main

import (
	"c10m/access"
	"c10m/internal/signals"

	"go.uber.org/zap"
)

// tokens reads the keys for tokens; nil if there are none to read.
func (f *serveFlags) tokens() (*access.Tokens, error) {
	if len(f.TokenKey) == 0 && f.TokenJWKS == "" {
		return nil, nil
	}
	return access.NewTokens(access.TokenConfig{
		KeyFiles: f.TokenKey, JWKSFile: f.TokenJWKS, Audiences: f.TokenAudience, Query: f.TokenQuery,
	})
}

// reloadOnHangup reads again what can change while the server runs, at each
// SIGHUP. Without anything of the kind the signal is taken all the same: a
// service manager that sends it to all does not mean to end this one.
func reloadOnHangup(tokens *access.Tokens, log *zap.Logger) {
	for range signals.Hangup {
		if tokens == nil {
			log.Info("SIGHUP: there is nothing to read again")
		} else if err := tokens.Reload(); err != nil {
			log.Error("SIGHUP: the keys for tokens stay as they were", zap.Error(err))
		} else {
			log.Info("SIGHUP: the keys for tokens were read again", zap.Int("keys", tokens.Keys()))
		}
	}
}
