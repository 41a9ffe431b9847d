package conn

import (
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/poller"
)

// closingRequests open a connection each way.
var closingRequests = map[string]string{"raw": upgradeRequest("/news"), "c10m.v1": string(twoWayRequest("/news"))}

// startClosing runs a server whose clients may publish, and whose time stands still: who
// ends there does so for what is said, and not since his time is over.
func startClosing(t *testing.T) (*testServer, *testKernel) {
	kernel := &testKernel{}
	config := testConfig()
	publisher := &countingPublisher{}
	config.NewPublisher = func(channel.Feedback) channel.Publisher { return publisher }
	config.PublishBytesMax, config.InboundBytesTotal = 1000, 1<<20
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Now())
	return s, kernel
}

// opened upgrades, and reads what c10m.v1 says first.
func (s *testServer) opened(t *testing.T, way string) *rawClient {
	t.Helper()
	c := s.connect(t)
	c.send([]byte(closingRequests[way]))
	if r := c.response(); r.StatusCode != 101 {
		t.Fatal(r.Status)
	}
	if way == "c10m.v1" {
		c.expect(message("OK SUB news"))
	}
	return c
}

// streamGoesOn reports whether the server has not ended its side of the stream, when it
// has done all that it is about to do.
func (s *testServer) streamGoesOn(t *testing.T, c *rawClient) (goesOn bool) {
	t.Helper()
	s.onLoops(func(*poller.Loop, *Server) {})
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Read(func(fd uintptr) bool {
		_, _, err = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == syscall.EAGAIN
}

// isEnded checks that the server ends the stream now, in good order.
func (c *rawClient) isEnded(what string) {
	c.t.Helper()
	if n, err := c.Reader.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		c.t.Errorf("%s: %d bytes, %v, and no end", what, n, err)
	}
}

// RFC 6455, 7.1.1: TCP is closed when both have sent a close frame, by the server. So
// whoever closes, and for whatever reason, our side of the stream is open until the client's
// close frame is there: else Firefox takes the close for an unclean one.
func TestStreamEndsAfterTheClientsClose(t *testing.T) {
	s, _ := startClosing(t)
	for way := range closingRequests {
		for _, reason := range reasons.All() {
			if codeOf(reason) == 0 {
				continue
			}
			what := fmt.Sprintf("%s, %v", way, reason)
			c := s.opened(t, way)
			s.onConnection(t, func(server *Server, fd uint32) { server.dismiss(fd, reason) })
			c.expect(closing(codeOf(reason)))
			isBroken := reason == reasons.ProtocolError || reason == reasons.InvalidUTF8
			if goesOn := s.streamGoesOn(t, c); goesOn == isBroken {
				t.Errorf("%s: after our close frame the stream goes on: %v", what, goesOn)
			}
			if !isBroken {
				c.send(join(clientPing("still on the way"), text("and this"), clientClose(codeOf(reason), "")))
			}
			c.isEnded(what)
			c.Close()
			s.checkNothingLeft(t)
		}
	}
}

// The client's close frame is found wherever it is: behind the rest of a message that is
// too long or not wanted any more, in the same read as what it is closed for, or cut.
func TestClientsCloseIsFoundAtEveryCut(t *testing.T) {
	s, _ := startClosing(t)
	for way := range closingRequests {
		for what, said := range map[string]struct {
			begin, rest []byte
			reason      reasons.Reason
		}{
			"too long":       {nil, join(clientFrame(0x82, make([]byte, 3000))[:20], make([]byte, 2988), clientClose(1000, "bye")), reasons.MessageTooBig},
			"in a message":   {clientFrame(0x01, []byte("begun é")[:7]), join(clientPing("p"), clientFrame(0x80, []byte("é")[1:]), clientClose(1000, "")), reasons.Draining},
			"in a frame":     {text("not finished")[:9], join(text("not finished")[9:], clientFrame(0x88, nil)), reasons.Disconnected},
			"in a header":    {text("not finished")[:3], join(text("not finished")[3:], clientClose(1001, "é")), reasons.MissedMessages},
			"in a ping":      {clientPing("ping")[:8], join(clientPing("ping")[8:], clientClose(1000, "")), reasons.TokenExpired},
			"in its close":   {clientClose(1000, "x")[:7], clientClose(1000, "x")[7:], reasons.Draining},
			"in a bad close": {clientClose(999, "x")[:7], clientClose(999, "x")[7:], reasons.Draining},
		} {
			for cut := range said.rest {
				if cut > 40 && len(said.rest)-cut > 20 && cut%500 > 0 {
					continue
				}
				c := s.opened(t, way)
				if said.begin != nil {
					c.send(said.begin)
					s.waitCold(t)
					s.onConnection(t, func(server *Server, fd uint32) { server.dismiss(fd, said.reason) })
				}
				if cut > 0 {
					c.send(said.rest[:cut])
					s.onLoops(func(*poller.Loop, *Server) {})
				}
				c.send(said.rest[cut:])
				if got := c.frames(); len(got) == 0 || got[len(got)-1] != closing(codeOf(said.reason)) {
					t.Fatalf("%s, %s, cut at %d: %v", way, what, cut, got)
				}
				s.checkNothingLeft(t) // it is the server that closes
				c.Close()
			}
		}
	}
}

// waitCold waits until the server's only connection is in the middle of something.
func (s *testServer) waitCold(t *testing.T) {
	t.Helper()
	waitFor(t, "half a frame is there", func() (is bool) {
		s.onLoops(func(_ *poller.Loop, server *Server) { is = len(server.cold) == 1 })
		return is
	})
}

// A client that says goodbye before it has read ours: both are said before the end.
func TestBothCloseWhileTheSocketIsFull(t *testing.T) {
	s, kernel := startClosing(t)
	c := s.opened(t, "raw")
	kernel.room.Store(1)
	s.onConnection(t, func(server *Server, fd uint32) { server.dismiss(fd, reasons.Draining) })
	c.send(clientClose(1000, ""))
	waitFor(t, "the client's close is there", func() (is bool) {
		s.onLoops(func(_ *poller.Loop, server *Server) {
			for _, state := range server.cold {
				is = state.in.IsClosed()
			}
		})
		return is
	})
	kernel.room.Store(0)
	s.step(kernel, time.Second) // the loop looks at a stalled socket once in a while
	if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1012)}) {
		t.Errorf("got %v", got)
	}
	c.Close()
	s.checkNothingLeft(t)
}

// What cannot be read on is not waited for, nor kept.
func TestGarbageAfterOurClose(t *testing.T) {
	s, kernel := startClosing(t)
	c := s.opened(t, "raw")
	c.send(clientFrame(0x01, []byte("half a message")))
	s.waitCold(t)
	s.onConnection(t, func(server *Server, fd uint32) { server.dismiss(fd, reasons.Draining) })
	c.expect(closing(1012))
	c.send([]byte("garbage"))
	c.isEnded("garbage")
	s.onLoops(func(_ *poller.Loop, server *Server) {
		if len(server.cold) != 0 || server.inboundBytes != 0 {
			t.Errorf("%d have cold state, of %d bytes", len(server.cold), server.inboundBytes)
		}
	})
	c.send(make([]byte, 100_000))
	s.step(kernel, 2*lingerTimeout)
	s.checkNothingLeft(t)
}

// Who is closed gives back at once what was kept of his message, also if he never says
// goodbye: else one who holds too much has all others of his loop closed meanwhile.
func TestClosingKeepsNothingOfAMessage(t *testing.T) {
	s, _ := startClosing(t)
	for way := range closingRequests {
		for _, reason := range []reasons.Reason{reasons.StateMemory, reasons.Draining, reasons.MessageTooBig} {
			c := s.opened(t, way)
			half := clientFrame(0x81, make([]byte, 900))
			c.send(half[:500])
			s.waitCold(t)
			s.onConnection(t, func(server *Server, fd uint32) {
				if server.inboundBytes == 0 {
					t.Error("nothing of the message is kept")
				}
				server.dismiss(fd, reason)
				if server.inboundBytes != 0 {
					t.Errorf("%s, %v: %d bytes are kept after our close", way, reason, server.inboundBytes)
				}
			})
			c.send(join(half[500:], clientClose(1000, ""))) // and it is still followed
			c.expect(closing(codeOf(reason)))
			c.isEnded(way)
			c.Close()
			s.checkNothingLeft(t)
		}
	}
}

// codeOf is the close code of a reason.
func codeOf(r reasons.Reason) uint16 {
	_, code, _ := r.Told()
	return code
}
