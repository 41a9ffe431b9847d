package conn

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"c10m/conn/reasons"
	"c10m/poller"

	"github.com/gobwas/ws"
)

func pong(payload string) wireFrame    { return wireFrame{opcode: ws.OpPong, payload: payload} }
func closing(code uint16) wireFrame    { return wireFrame{opcode: ws.OpClose, code: code} }
func message(payload string) wireFrame { return wireFrame{opcode: ws.OpText, payload: payload} }

// A protocolCase is what a client sends, all that it gets before the end of
// the stream, and what is counted.
type protocolCase struct {
	name   string
	send   []byte
	want   []wireFrame
	reason reasons.Reason
}

func unmasked(p []byte) []byte {
	return append([]byte{p[0], p[1] &^ 0x80}, p[6:]...)
}

// protocolCases is RFC 6455 as a table.
func protocolCases() []protocolCase {
	header := func(p []byte, n int) []byte { return p[:n] }
	big := bytes.Repeat([]byte{'x'}, inboundBytesMax)
	cases := []protocolCase{
		// 5.1
		{"unmasked", unmasked(clientPing("x")), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"unmasked close", []byte{0x88, 0}, []wireFrame{closing(1002)}, reasons.ProtocolError},
		// 5.2
		{"first reserved bit", clientFrame(0x81|0x40, []byte("x")), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"second reserved bit", clientFrame(0x89|0x20, nil), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"third reserved bit", clientFrame(0x88|0x10, nil), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"16 bits for 125", join([]byte{0x82, 0x80 | 126, 0, 125, 1, 2, 3, 4}), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"64 bits for 65535", join([]byte{0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4}), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"more than 63 bits", join([]byte{0x82, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0}), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"16 bits for a ping of 0", join([]byte{0x89, 0x80 | 126, 0, 0, 1, 2, 3, 4}), []wireFrame{closing(1002)}, reasons.ProtocolError},
		// 5.4
		{"continuation of nothing", clientFrame(0x80, []byte("x")), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"continuation of nothing, not final", clientFrame(0x00, []byte("x")), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"text inside a message", join(clientFrame(0x01, []byte("a")), clientFrame(0x81, []byte("b"))), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"binary inside a message", join(clientFrame(0x01, []byte("a")), clientFrame(0x02, []byte("b"))), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"ping inside a message", join(clientFrame(0x01, []byte("a")), clientPing("p"), clientFrame(0x80, []byte("b"))),
			[]wireFrame{pong("p"), closing(1003)}, reasons.DataRefused},
		{"close inside a message", join(clientFrame(0x01, []byte("a")), clientClose(1000, "")), []wireFrame{closing(1000)}, reasons.ClientClosed},
		// 5.5
		{"fragmented ping", clientFrame(0x09, nil), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"fragmented close", clientFrame(0x08, nil), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"ping of 126", clientFrame(0x89, make([]byte, 126)), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"close of 126", clientFrame(0x88, append([]byte{3, 232}, make([]byte, 124)...)), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"close, then more", join(clientClose(1000, ""), clientPing("late"), clientFrame(0x81, []byte("x"))), []wireFrame{closing(1000)}, reasons.ClientClosed},
		{"pings, then close", join(clientPing("1"), clientPing("2"), clientClose(1001, "bye"), clientPing("late")),
			[]wireFrame{pong("1"), pong("2"), closing(1001)}, reasons.ClientClosed},
		{"close without code", clientFrame(0x88, nil), []wireFrame{{opcode: ws.OpClose}}, reasons.ClientClosed},
		{"close of one byte", clientFrame(0x88, []byte{3}), []wireFrame{closing(1002)}, reasons.ProtocolError},
		{"close with text of 123 bytes", clientClose(1000, strings.Repeat("é", 61)+"x"), []wireFrame{closing(1000)}, reasons.ClientClosed},
		{"error, then more", join(clientPing("1"), unmasked(clientPing("x")), clientPing("late"), clientClose(1000, "")),
			[]wireFrame{pong("1"), closing(1002)}, reasons.ProtocolError},
		// 8.1
		{"text not UTF-8", clientFrame(0x81, []byte("a\xff")), []wireFrame{closing(1007)}, reasons.InvalidUTF8},
		{"text not UTF-8, the rest never comes", header(clientFrame(0x81, append([]byte("ab\xff"), big[:100]...)), 9), []wireFrame{closing(1007)}, reasons.InvalidUTF8},
		{"rune cut by the end", clientFrame(0x81, []byte("a\xe2\x82")), []wireFrame{closing(1007)}, reasons.InvalidUTF8},
		{"rune not continued", join(clientFrame(0x01, []byte("\xe2\x82")), clientFrame(0x00, []byte("x"))), []wireFrame{closing(1007)}, reasons.InvalidUTF8},
		{"close text not UTF-8", clientClose(1000, "\xff"), []wireFrame{closing(1007)}, reasons.InvalidUTF8},
		{"binary need not be UTF-8", clientFrame(0x82, []byte("\xff")), []wireFrame{closing(1003)}, reasons.DataRefused},
		// 10.4
		{"too big by its header", header(clientFrame(0x82, append(big, 'x')), 14), []wireFrame{closing(1009)}, reasons.MessageTooBig},
		{"too big by far", join([]byte{0x82, 0x80 | 127, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4}), []wireFrame{closing(1009)}, reasons.MessageTooBig},
		{"fragments too big", join(clientFrame(0x02, big[:40_000]), header(clientFrame(0x80, big[:30_000]), 8)), []wireFrame{closing(1009)}, reasons.MessageTooBig},
		{"as big as may be", clientFrame(0x82, big), []wireFrame{closing(1003)}, reasons.DataRefused},
		{"fragments as big as may be", join(clientFrame(0x01, big[:40_000]), clientFrame(0x80, big[40_000:])), []wireFrame{closing(1003)}, reasons.DataRefused},
		// ours: this server only pushes
		{"text", clientFrame(0x81, []byte("hello")), []wireFrame{closing(1003)}, reasons.DataRefused},
		{"binary", clientFrame(0x82, []byte("hello")), []wireFrame{closing(1003)}, reasons.DataRefused},
		{"empty text", clientFrame(0x81, nil), []wireFrame{closing(1003)}, reasons.DataRefused},
		{"empty binary", clientFrame(0x82, nil), []wireFrame{closing(1003)}, reasons.DataRefused},
		{"pongs are nothing", join(clientFrame(0x8a, nil), clientFrame(0x8a, []byte("x")), clientClose(1000, "")), []wireFrame{closing(1000)}, reasons.ClientClosed},
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases = append(cases, protocolCase{fmt.Sprint("reserved opcode ", opcode), clientFrame(0x80|opcode, nil), []wireFrame{closing(1002)}, reasons.ProtocolError})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, protocolCase{fmt.Sprint("bad close code ", code), clientClose(code, ""), []wireFrame{closing(1002)}, reasons.ProtocolError})
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, protocolCase{fmt.Sprint("close code ", code), clientClose(code, "why"), []wireFrame{closing(code)}, reasons.ClientClosed})
	}
	return append(cases, pingCases()...)
}

func pingCases() (cases []protocolCase) {
	var all []byte
	var pongs []wireFrame
	for n := range 126 {
		payload := strings.Repeat(string(rune('a'+n%26)), n)
		all = append(all, clientPing(payload)...)
		pongs = append(pongs, pong(payload))
	}
	return []protocolCase{{"pings of every size", join(all, clientClose(1000, "")), append(pongs, closing(1000)), reasons.ClientClosed}}
}

// TestProtocol plays every case three times: with the request in one write,
// behind the answer in one write, and behind it byte by byte.
func TestProtocol(t *testing.T) {
	s := startServer(t, 2, testConfig())
	bystander := s.upgrade(t, "/bystander")
	ways := []struct {
		name string
		play func(t *testing.T, p []byte) *rawClient
	}{
		{"with the request", func(t *testing.T, p []byte) *rawClient { return s.upgrade(t, "/news", p) }},
		{"after the answer", func(t *testing.T, p []byte) *rawClient {
			c := s.upgrade(t, "/news")
			c.send(p)
			return c
		}},
		{"byte by byte", func(t *testing.T, p []byte) *rawClient {
			c := s.upgrade(t, "/news")
			for i := range p {
				// The server may have answered and gone before the last byte.
				if _, err := c.Write(p[i : i+1]); err != nil {
					break
				}
			}
			return c
		}},
	}
	want := make(map[reasons.Reason]int)
	for _, c := range protocolCases() {
		for i, way := range ways {
			if i == 2 && (len(c.send) > 2000 || strings.Contains(c.name, "then")) {
				continue // what comes after our end may be answered by a reset
			}
			t.Run(c.name+"/"+way.name, func(t *testing.T) {
				want[c.reason]++
				client := way.play(t, c.send)
				if got := client.frames(); !slices.Equal(got, c.want) {
					t.Errorf("got %.200v, want %.200v", got, c.want)
				}
				client.Close()
				if n := s.closes(c.reason); n != uint64(want[c.reason]) {
					t.Errorf("%v was counted %d times, want %d", c.reason, n, want[c.reason])
				}
			})
		}
	}
	s.publish(t, "bystander", "still here?")
	bystander.expect(message("still here?"))
	bystander.Close()
	want[reasons.ClientGone]++
	s.checkNothingLeft(t)
	if got := s.counts(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("reasons %v, want %v", got, want)
	}
	if n := s.sum(func(s *Server) int64 { return int64(s.Stats().PongsIn.Load()) }); n != 3*2 {
		t.Errorf("%d pongs were counted, and 6 were sent", n)
	}
}

// A request and frames, cut in two at every byte, on a real socket.
func TestEverySplitOverSockets(t *testing.T) {
	s := startServer(t, 1, testConfig())
	stream := join([]byte(upgradeRequest("/news")), clientPing("one"), clientFrame(0x01, []byte("é")[:1]),
		clientPing("two"), clientFrame(0x80, []byte("é")[1:]), clientPing("late"))
	n := 0
	for at := 1; at < len(stream); at += 3 {
		c := s.connect(t)
		c.send(stream[:at])
		if at%2 == 0 {
			s.onLoops(func(*poller.Loop, *Server) {}) // the pieces come in two turns
		}
		c.send(stream[at:])
		c.expectUpgrade()
		if got := c.frames(); !slices.Equal(got, []wireFrame{pong("one"), pong("two"), closing(1003)}) {
			t.Fatalf("cut after %d bytes: %v", at, got)
		}
		c.Close()
		n++
	}
	s.checkNothingLeft(t)
	if got := s.counts(); len(got) != 1 || got[reasons.DataRefused] != n {
		t.Errorf("reasons %v, want %d times %v", got, n, reasons.DataRefused)
	}
}

// A frame in two pieces is remembered between them, and forgotten after.
func TestColdStateEndsWithThePartialFrame(t *testing.T) {
	s := startServer(t, 1, testConfig())
	cold := func() (n int) {
		s.onLoops(func(_ *poller.Loop, server *Server) { n = len(server.cold) })
		return n
	}
	c := s.connect(t)
	request := upgradeRequest("/news")
	c.send([]byte(request[:40]))
	waitFor(t, "the half request is kept", func() bool { return cold() == 1 })
	c.send([]byte(request[40:]))
	c.expectUpgrade()
	if n := cold(); n != 0 {
		t.Fatalf("%d cold states after the handshake", n)
	}
	ping := clientPing("whole")
	for cut := 1; cut < len(ping); cut++ {
		c.send(ping[:cut])
		waitFor(t, "the part of a frame is kept", func() bool { return cold() == 1 })
		c.send(ping[cut:])
		c.expect(pong("whole"))
		if n := cold(); n != 0 {
			t.Fatalf("%d cold states after a frame cut at %d", n, cut)
		}
	}
	c.Close()
	s.checkNothingLeft(t)
}

// Ten thousand pings in one read are answered in order, and not with ten
// thousand writes in one turn of the loop.
func TestFloodOfPingsCostsFewWrites(t *testing.T) {
	kernel := &testKernel{}
	s := startServer(t, 1, testConfig(), kernel.install)
	c := s.upgrade(t, "/news")
	const pings = 10_000
	var stream []byte
	for i := range pings {
		stream = append(stream, clientPing(fmt.Sprint(i%10))...)
	}
	before := kernel.sends.Load()
	go c.Write(append(stream, clientClose(1000, "")...))
	for i := range pings {
		c.expect(pong(fmt.Sprint(i % 10)))
	}
	if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1000)}) {
		t.Errorf("after the pongs: %v", got)
	}
	if n := kernel.sends.Load() - before; n > pings/20 {
		t.Errorf("%d pings were answered with %d writes", pings, n)
	}
	if n := s.servers[0].Stats().Pongs.Load(); n != pings {
		t.Errorf("%d pongs were counted", n)
	}
	c.Close()
	s.checkNothingLeft(t)
}

// A peer that goes without a word is counted by how it goes.
func TestPeersThatJustGo(t *testing.T) {
	s := startServer(t, 1, testConfig())
	end := func(c *rawClient, linger int, reason reasons.Reason) {
		t.Helper()
		c.SetLinger(linger)
		c.Close()
		waitFor(t, reason.String(), func() bool { return s.closes(reason) == 1 })
	}
	half := func() *rawClient {
		c := s.connect(t)
		c.send([]byte("GET /news HTTP/1.1\r\n"))
		waitFor(t, "half a request is there", func() bool { return s.servers[0].Stats().Unfinished.Load() == 1 })
		return c
	}
	end(s.upgrade(t, "/news"), -1, reasons.ClientGone)
	end(s.upgrade(t, "/news"), 0, reasons.ClientReset)
	end(half(), -1, reasons.RequestGone)
	c := half()
	c.SetLinger(0)
	c.Close()
	waitFor(t, "a reset in a request", func() bool { return s.closes(reasons.RequestGone) == 2 })
	s.checkNothingLeft(t)
}

// After our close frame the client may take its time with its own; whatever
// it sends until then is read, so that no reset takes the frame from it.
func TestCloseIsNotLostToAReset(t *testing.T) {
	s := startServer(t, 1, testConfig())
	c := s.upgrade(t, "/news")
	c.send(clientFrame(0x81, []byte("refused")))
	waitFor(t, "the refusal", func() bool { return s.closes(reasons.DataRefused) == 1 })
	for range 50 {
		c.send(bytes.Repeat([]byte{'x'}, 10_000))
	}
	waitFor(t, "it lingers", func() bool { return s.servers[0].Stats().Lingering.Load() == 1 })
	if got := c.frames(); !slices.Equal(got, []wireFrame{closing(1003)}) {
		t.Errorf("got %v", got)
	}
	c.Close()
	s.checkNothingLeft(t)
}

// A client that does not end its side is ended when its time is over.
func TestLingerEnds(t *testing.T) {
	kernel := &testKernel{}
	s := startServer(t, 1, testConfig(), kernel.install)
	kernel.clock.Store(kernel.Now())
	c := s.upgrade(t, "/news")
	c.send(clientFrame(0x82, nil))
	c.expect(closing(1003))
	s.step(kernel, lingerTimeout*9/10)
	if n := s.servers[0].Stats().Lingering.Load(); n != 1 {
		t.Fatalf("%d linger before their time is over", n)
	}
	s.step(kernel, lingerTimeout/5)
	s.checkNothingLeft(t)
}
