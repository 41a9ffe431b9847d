package load

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"c10m/internal/patience"

	"golang.org/x/sys/unix"
)

// Stop ends connections with a FIN, or with a reset if that is asked for.
func TestStopWithReset(t *testing.T) {
	for reset, wanted := range map[bool]error{false: io.EOF, true: unix.ECONNRESET} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		client, err := Start(Config{Dialect: Bare, Reset: reset, Loops: 1, Spread: Spread{
			Host: netip.MustParseAddr("127.0.0.1"), FirstPort: listener.Addr().(*net.TCPAddr).Port, PerPort: 1, Connections: 1}})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		connected(t, client)
		client.Stop()
		conn.SetReadDeadline(patience.Deadline())
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, wanted) {
			t.Errorf("with Reset %v the peer sees %v", reset, err)
		}
	}
}
