package admin

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// from connects from an address of the loopback network, and sends something.
func from(t *testing.T, s *Server, address, send string) *bufio.ReadWriter {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	rw := bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	return rw
}

// healthOf reads an answer, which has to be whole.
func healthOf(t *testing.T, c *bufio.ReadWriter) *http.Response {
	t.Helper()
	response, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("status %d", response.StatusCode)
	}
	return response
}

// ended waits until the server has closed a connection.
func ended(t *testing.T, c *bufio.ReadWriter) {
	t.Helper()
	if n, err := io.Copy(io.Discard, c.Reader); n != 0 {
		t.Errorf("%d bytes before the end (%v)", n, err)
	}
}

const probe = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

// TestProbesAreAnsweredBesideIdleConnections: whatever holds connections, a probe is
// answered, from the address that holds them and from another.
func TestProbesAreAnsweredBesideIdleConnections(t *testing.T) {
	for name, hold := range map[string]struct {
		send string
		kept bool // it is answered, and kept for its next request
	}{
		"that ask for nothing":        {"", false},
		"that were answered":          {probe, true},
		"that send a head by letters": {"GET /healthz HT", false},
		"that never send their body":  {"POST /publish/news HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nx", false},
	} {
		t.Run(name, func(t *testing.T) {
			sources, _ := newSources(1)
			s := start(t, sources)
			var held []*bufio.ReadWriter
			for i := range connectionsMax {
				c := from(t, s, fmt.Sprintf("127.0.%d.1", i/20), hold.send)
				if hold.kept {
					healthOf(t, c)
				}
				held = append(held, c)
			}
			await(t, "all connections", func() bool { return s.door.count() == connectionsMax || hold.kept })
			for i, address := range []string{"127.0.0.1", "127.9.9.9"} {
				healthOf(t, from(t, s, address, probe))
				if n := s.door.count(); n > connectionsMax {
					t.Errorf("probe %d: %d connections", i, n)
				}
			}
			if hold.kept {
				return // a crowd's answers were their last
			}
			if hold.send == "" {
				ended(t, held[0]) // the second probe has the place of the first
			}
			if got := counted(t, s.door.closed, doorFull); got < 1 {
				t.Errorf("%d are counted", got)
			}
		})
	}
}

// TestWhoMakesRoom: the address that has the most, and of it who waits longest; never
// one that a page works for while another waits.
func TestWhoMakesRoom(t *testing.T) {
	sources, fake := newSources(1)
	s := start(t, sources)
	fake.mu.Lock() // /healthz does not answer
	served := from(t, s, "127.0.0.1", probe)
	await(t, "a request that is served", func() bool {
		s.door.mu.Lock()
		defer s.door.mu.Unlock()
		for _, v := range s.door.visitors {
			if v.serving {
				return true
			}
		}
		return false
	})
	few := from(t, s, "127.0.0.2", "")
	await(t, "both", func() bool { return s.door.count() == 2 })
	var many []*bufio.ReadWriter
	for i := range connectionsPerAddressMax + 2 {
		many = append(many, from(t, s, "127.0.0.3", ""))
		await(t, "its place", func() bool { return s.door.count() == min(i+1, connectionsPerAddressMax)+2 })
	}
	for _, c := range many[:2] {
		ended(t, c)
	}
	if got := counted(t, s.door.closed, doorAddress); got != 2 {
		t.Errorf("%d are counted for their address", got)
	}
	for i := range connectionsMax - connectionsPerAddressMax { // two of them fill it
		from(t, s, fmt.Sprintf("127.0.1.%d", i+1), "")
	}
	await(t, "the last of them", func() bool { return counted(t, s.door.closed, doorFull) == 2 })
	for _, c := range many[2:4] {
		ended(t, c)
	}
	fake.mu.Unlock()
	healthOf(t, served)
	if _, err := few.WriteString(probe); err != nil {
		t.Fatal(err)
	}
	few.Flush()
	healthOf(t, few)
}

// TestACrowdIsNotKept: with most places taken, an answer is the last on its
// connection, and who has been idle for long goes when somebody comes.
func TestACrowdIsNotKept(t *testing.T) {
	sources, _ := newSources(1)
	s := start(t, sources)
	idle := from(t, s, "127.0.0.1", probe)
	healthOf(t, idle)
	for i := range crowdedMin - 1 {
		if response := healthOf(t, from(t, s, fmt.Sprintf("127.0.0.%d", i%3+2), probe)); response.Close {
			t.Fatalf("connection %d is not kept", i)
		}
	}
	await(t, "rest", func() bool {
		s.door.mu.Lock()
		defer s.door.mu.Unlock()
		for _, v := range s.door.visitors {
			if v.serving {
				return false
			}
			if v.conn.RemoteAddr().(*net.TCPAddr).IP.String() == "127.0.0.1" {
				v.since = v.since.Add(-2 * crowdedIdleSecondsMax * time.Second)
			}
		}
		return true
	})
	healthOf(t, from(t, s, "127.0.1.1", probe))
	ended(t, idle)
	if got := counted(t, s.door.closed, doorIdle); got != 1 {
		t.Errorf("%d idle ones are counted", got)
	}
	if response := healthOf(t, from(t, s, "127.0.1.1", probe)); !response.Close {
		t.Error("a connection more than a crowd is kept")
	}
	await(t, "the end of that one", func() bool { return s.door.count() == crowdedMin })
}
