// Package private binds addresses that are for this machine alone, or for who knows a
// password.
package private

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// A Listener says what listens, in words for the operator.
type Listener struct {
	What               string                    // "the admin pages"
	Flag, PasswordFlag string                    // "--admin", "--admin-password"
	Usual              string                    // an address, as an example
	Taken              func(*net.TCPAddr) string // by what a port is taken, and what to set
	Config             net.ListenConfig
}

// Listen binds a host:port, which is of loopback unless there is a password. What was
// checked is what is bound: a name is not resolved again. Each error is one sentence that
// says what to change.
func (l *Listener) Listen(address string, hasPassword bool) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s can not listen on %q, which is no host:port that can be resolved (%w): set %s, as to %s", l.What, address, err, l.Flag, l.Usual)
	}
	if !hasPassword && !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("%s would listen on %q, which other machines can reach, without a password: set %s, or keep to loopback with %s, as to %s", l.What, address, l.PasswordFlag, l.Flag, l.Usual)
	}
	listener, err := l.Config.Listen(context.Background(), "tcp", resolved.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s can not listen on %q: the port is taken, %s", l.What, address, l.Taken(resolved))
	}
	if err != nil {
		return nil, fmt.Errorf("%s can not listen on %q: %w; set %s to another address", l.What, address, err, l.Flag)
	}
	return listener, nil
}

// Check says what Listen would say now, and listens no longer than that takes.
func (l *Listener) Check(address string, hasPassword bool) error {
	listener, err := l.Listen(address, hasPassword)
	if err != nil {
		return err
	}
	return listener.Close()
}
