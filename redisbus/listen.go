package redisbus

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"time"

	"c10m/internal/private"
)

// addrDefault is where redis-cli looks.
const addrDefault = "127.0.0.1:6379"

// serverName is what INFO and HELLO say, and how a second server recognises
// the owner of a port that is taken.
const serverName = "10m-server"

// embeddedListener binds the embedded bus.
var embeddedListener = private.Listener{
	What: "the embedded bus", Flag: "--bus-listen", PasswordFlag: "--bus-password", Usual: addrDefault,
	Taken: func(addr *net.TCPAddr) string {
		return fmt.Sprintf("%s; set --bus redis://%s to use it, or --bus-listen to take another port", portOwner(addr), dialable(addr))
	},
	Config: net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable:   true, // idle peers are welcome, dead ones are not
		Idle:     keepAliveIdleSeconds * time.Second,
		Interval: keepAliveIntervalSeconds * time.Second,
		Count:    keepAliveProbes,
	}},
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
		return "by something that does not accept connections"
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	if _, err := conn.Write([]byte("PING\r\nINFO server\r\nQUIT\r\n")); err != nil {
		return "by something that is no Redis"
	}
	answer, _ := io.ReadAll(io.LimitReader(conn, portOwnerBytesMax))
	switch {
	case bytes.Contains(answer, []byte("server_name:"+serverName)):
		return "by another " + serverName
	case bytes.HasPrefix(answer, []byte("+PONG")):
		return "by a Redis"
	case bytes.HasPrefix(answer, []byte("-NOAUTH")), bytes.HasPrefix(answer, []byte("-DENIED")):
		return "by a Redis or another " + serverName + " that asks for a password"
	}
	return "by something that is no Redis"
}
