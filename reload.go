package main

import (
	"fmt"

	"c10m/access"
	"c10m/admin"
	"c10m/bus"
	"c10m/internal/secret"
	"c10m/internal/signals"
	"c10m/redisbus"

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

type passwordFiles struct {
	BusPasswordFile   string `group:"Where messages come from" placeholder:"FILE" help:"The password of the embedded bus is the first line of this file, as containers and systemd hand out secrets. Read again on SIGHUP: peers that gave the former password stay."`
	AdminPasswordFile string `group:"The operator's pages" placeholder:"FILE" help:"The password of the admin pages is the first line of this file. Read again on SIGHUP."`
}

// checkPasswords refuses a password that is given in two ways.
func (f *serveFlags) checkPasswords() error {
	for _, both := range [][3]string{
		{"bus", f.BusPassword, f.PasswordFiles.BusPasswordFile}, {"admin", f.AdminPassword, f.PasswordFiles.AdminPasswordFile},
	} {
		if both[1] != "" && both[2] != "" {
			return fmt.Errorf("--%s-password and --%[1]s-password-file are both given, here or in the environment: leave one out", both[0])
		}
	}
	return nil
}

func (f *serveFlags) readPasswords() (err error) {
	files := &f.PasswordFiles
	if files.BusPasswordFile != "" {
		f.BusPassword, err = secret.ReadPassword("--bus-password-file", files.BusPasswordFile)
	}
	if files.AdminPasswordFile != "" && err == nil {
		f.AdminPassword, err = secret.ReadPassword("--admin-password-file", files.AdminPasswordFile)
	}
	return err
}

// A reload is something that can change while the server runs.
type reload struct {
	what  string                    // as in "the keys for tokens stay as they were"
	again func() (zap.Field, error) // and what to log of it
}

// reloads are what the flags name.
func (f *serveFlags) reloads(tokens *access.Tokens, driver bus.Bus, pages *admin.Server) (all []reload) {
	if tokens != nil {
		all = append(all, reload{"the keys for tokens", func() (zap.Field, error) {
			err := tokens.Reload()
			return zap.Int("keys", tokens.Keys()), err
		}})
	}
	password := func(flag, name string, set func(string)) {
		all = append(all, reload{"the contents of " + flag, func() (zap.Field, error) {
			password, err := secret.ReadPassword(flag, name)
			if err == nil {
				set(password)
			}
			return zap.Skip(), err
		}})
	}
	files := &f.PasswordFiles
	if embedded, ok := driver.(*redisbus.Embedded); ok && files.BusPasswordFile != "" {
		password("--bus-password-file", files.BusPasswordFile, embedded.SetPassword)
	}
	if pages != nil && files.AdminPasswordFile != "" {
		password("--admin-password-file", files.AdminPasswordFile, pages.SetPassword)
	}
	return all
}

// reloadOnHangup reads again what can change while the server runs, at each
// SIGHUP. Without anything of the kind the signal is taken all the same: a
// service manager that sends it to all does not mean to end this one.
func reloadOnHangup(reloads []reload, log *zap.Logger) {
	for range signals.Hangup {
		if len(reloads) == 0 {
			log.Info("SIGHUP: there is nothing to read again")
		}
		for _, reload := range reloads {
			if field, err := reload.again(); err != nil {
				log.Error("SIGHUP: "+reload.what+" stay as they were", zap.Error(err))
			} else {
				log.Info("SIGHUP: "+reload.what+" were read again", field)
			}
		}
	}
}
