package admin

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listen binds the admin pages. Each error is one sentence that says what to
// change.
func listen(cfg Config) (net.Listener, error) {
	addr := cfg.Addr
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("the admin pages can not listen on %q, which is no host:port that can be resolved (%w): set --admin, as to 127.0.0.1:9100", addr, err)
	}
	if cfg.Password == "" && !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("the admin pages would listen on %q, which other machines can reach, without a password: set --admin-password, or keep to loopback with --admin, as to 127.0.0.1:9100", addr)
	}
	// What was checked is what is bound: the name is not resolved again.
	listener, err := net.ListenTCP("tcp", resolved)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the admin pages can not listen on %q: the port is taken, perhaps by another 10m-server; set --admin to another port, or to off", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("the admin pages can not listen on %q: %w; set --admin to another address, or to off", addr, err)
	}
	return listener, nil
}
