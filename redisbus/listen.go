package redisbus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// addrDefault is where redis-cli looks.
const addrDefault = "127.0.0.1:6379"

// serverName is what INFO and HELLO say, and how a second server recognises
// the owner of a port that is taken.
const serverName = "10m-server"

// listen binds the embedded bus. Each error is one sentence that says what to
// change.
func listen(cfg EmbeddedConfig) (net.Listener, error) {
	if cfg.Addr == "" {
		cfg.Addr = addrDefault
	}
	addr, err := net.ResolveTCPAddr("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("the embedded bus can not listen on %q, which is no host:port that can be resolved (%w): set --bus-listen, as to %s", cfg.Addr, err, addrDefault)
	}
	if cfg.Password == "" && !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("the embedded bus would listen on %s, which other machines can reach, without a password: set --bus-password, or keep to 127.0.0.1 with --bus-listen", cfg.Addr)
	}
	config := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable:   true, // idle peers are welcome, dead ones are not
		Idle:     keepAliveIdleSeconds * time.Second,
		Interval: keepAliveIntervalSeconds * time.Second,
		Count:    keepAliveProbes,
	}}
	listener, err := config.Listen(context.Background(), "tcp", addr.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the embedded bus can not listen on %s: %s; set --bus redis://%s to use it, or --bus-listen to take another port",
			cfg.Addr, portOwner(addr), dialable(addr))
	}
	if err != nil {
		return nil, fmt.Errorf("the embedded bus can not listen on %s: %w; set --bus-listen to take another address", cfg.Addr, err)
	}
	return listener, nil
}

// dialable is where a listener on addr is reached from this host.
func dialable(addr *net.TCPAddr) string {
	local := *addr
	if local.IP == nil || local.IP.IsUnspecified() {
		local.IP = net.IPv4(127, 0, 0, 1)
	}
	return local.String()
}

// portOwner says by what a port is probably taken.
func portOwner(addr *net.TCPAddr) string {
	const limit = portOwnerSecondsMax * time.Second
	conn, err := net.DialTimeout("tcp", dialable(addr), limit)
	if err != nil {
		return "the port is taken, by something that does not accept connections"
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	if _, err := conn.Write([]byte("PING\r\nINFO server\r\nQUIT\r\n")); err != nil {
		return "the port is taken, by something that is no Redis"
	}
	answer, _ := io.ReadAll(io.LimitReader(conn, portOwnerBytesMax))
	switch {
	case bytes.Contains(answer, []byte("server_name:"+serverName)):
		return "the port is taken, by another " + serverName
	case bytes.HasPrefix(answer, []byte("+PONG")):
		return "the port is taken, by a Redis"
	case bytes.HasPrefix(answer, []byte("-NOAUTH")), bytes.HasPrefix(answer, []byte("-DENIED")):
		return "the port is taken, by a Redis or another " + serverName + " that asks for a password"
	}
	return "the port is taken, by something that is no Redis"
}
