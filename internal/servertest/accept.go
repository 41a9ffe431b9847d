package servertest

import (
	"net"
	"testing"
)

// Accept listens on a free port of an address of loopback, until the test ends, and has
// each connection served by a goroutine of its own.
func Accept(t testing.TB, host string, serve func(net.Conn)) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return listener
}
