package load

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"c10m/conn/wire"
	"c10m/conn/wire/wiretest"
)

// readEvents is read of a stream of events.
func readEvents(pieces ...[]byte) (lines []string, v violation, held *partial) {
	r := &recorder{}
	reader := reader{sink: r, hashed: true}
	for _, piece := range pieces {
		lent := bytes.Clone(piece)
		held, v = reader.events(7, held, lent)
		for i := range lent {
			lent[i] = 0xAA
		}
		if v != violationNone {
			r.lines = append(r.lines, "violation")
			break
		}
	}
	return r.lines, v, held
}

// eventsOf is a stream as the server writes it, with all that may stand in one.
func eventsOf() []byte {
	stream := []byte(wire.EventsPrelude)
	for i, payload := range []string{"hello", "", " a\n\nb:c\n", "\xff\x00" + strings.Repeat("\r", 200), "é",
		string(AppendStamped(nil, 1, 12345, StampBytes)), string(AppendStamped(nil, 2, 1<<62, 300)), "x=\ny==", "\xff", strings.Repeat("long\nlines\n", 20)} {
		stream = wire.AppendEvent(stream, fmt.Appendf(nil, "abcd1234-%d", i), []byte(payload))
		stream = append(stream, wire.EventsHeartbeat...)
	}
	corrupt := AppendStamped(nil, 3, 4, 300)
	corrupt[250] ^= 1
	stream = wire.AppendEvent(stream, []byte("abcd1234-9"), corrupt)
	stream = wire.AppendEventID(stream, func(to []byte) []byte { return append(to, "abcd1234-12"...) })
	stream = wire.AppendGapEvent(stream, []byte("abcd1234-99"), 0)
	stream = append(stream, "data\nevent\nevent: mess\ndata:x\nevent: message\nwhatever: 1\n\n"...)
	stream = wire.AppendOwnEvent(stream, "drain", nil, 2500, "server restarts")
	return wire.AppendOwnEvent(stream, "close", nil, 0, "1012 server restarts")
}

// A stream of events gives the same, cut in two at every byte, in three at many, and
// byte by byte: what an EventSource makes of it.
func TestEventsEverySplit(t *testing.T) {
	stream := eventsOf()
	whole, v, held := readEvents(stream)
	if v != violationNone || held != nil {
		t.Fatalf("violation %q, left over: %v", violationNames[v], held != nil)
	}
	check := func(pieces ...[]byte) {
		t.Helper()
		if lines, v, held := readEvents(pieces...); !slices.Equal(lines, whole) || v != violationNone || held != nil {
			t.Fatalf("cut after %d bytes: %q, and in one piece: %q; left over: %v", len(pieces[0]), lines, whole, held != nil)
		}
	}
	var bytewise [][]byte
	for i := range stream {
		check(stream[:i], stream[i:])
		for j := i; j < len(stream); j += 1 + len(stream)/16 {
			check(stream[:i], stream[i:j], stream[j:])
		}
		bytewise = append(bytewise, stream[i:i+1])
	}
	check(bytewise...)

	// The recorder is told the same of a frame with the payload that an EventSource has.
	events, _, _ := wiretest.ReadEvents(string(stream))
	heartbeats := 0
	whole = slices.DeleteFunc(whole, func(line string) bool {
		isOne := strings.Contains(line, fmt.Sprintf("event %d ", eventHeartbeat))
		if isOne {
			heartbeats++
		}
		return isOne
	})
	if len(events) != len(whole) || heartbeats != bytes.Count(stream, []byte("\n"+wire.EventsHeartbeat)) {
		t.Fatalf("%d events and %d heartbeats; an EventSource sees %d events", len(whole), heartbeats, len(events))
	}
	for i, e := range events {
		kind, text := eventKindOf([]byte(e.Type)), e.Data
		want := []string{fmt.Sprintf("7: event %d %q", kind, text[:min(len(text), StampBytes)])}
		switch kind {
		case eventMessage:
			want, _, _ = read(frame(finBit|opText, text))
		case eventBase64:
			text = e.Payload(t)
			want = []string{fmt.Sprintf("7: message %d, %d bytes, corrupt false", opBinary, len(text))}
		}
		if !strings.HasPrefix(whole[i], want[0]) {
			t.Errorf("event %d is %q, and not %q", i, whole[i], want[0])
		}
	}
}

func TestBadEvents(t *testing.T) {
	for _, stream := range []string{"data: a\r\n\n", "data: a\rb\n\n", "\r", ":\r\n", "event: other\ndata: x\n\n"} {
		if lines, v, _ := readEvents([]byte(stream)); v != violationEvents {
			t.Errorf("%q is taken: %q", stream, lines)
		}
	}
	for _, stream := range []string{"data: \xc3\x28\n\n", "event: base64\ndata: YQ=\n\n", "event: base64\ndata: Y\u00e9==\n\n", "event: base64\ndata: =\n\n"} {
		if lines, v, _ := readEvents([]byte(stream)); v != violationNone || len(lines) != 1 || !strings.Contains(lines[0], "corrupt true") {
			t.Errorf("%q is not corrupt: %q", stream, lines)
		}
	}
	// Of what is not printed the head is not all there.
	r := &recorder{}
	reader := reader{sink: r}
	reader.events(7, nil, wire.AppendEvent(nil, []byte("a-1"), []byte(strings.Repeat("\xff", 500))))
	if len(r.lines) != 1 || !strings.Contains(r.lines[0], "message 2, 500 bytes, corrupt false") {
		t.Errorf("%q", r.lines)
	}
}

func TestEventsAllocateNothing(t *testing.T) {
	discard := &counter{}
	reader := reader{sink: discard}
	stream := append(wire.AppendEvent(nil, []byte("abcd1234-1"), AppendStamped(nil, 1, 2, 256)), wire.EventsHeartbeat...)
	stream = wire.AppendEvent(stream, []byte("abcd1234-2"), AppendStamped(nil, 2, 2, 256))
	var held *partial
	allocations := testing.AllocsPerRun(100, func() {
		held, _ = reader.events(1, held, stream[:300])
		held, _ = reader.events(1, held, stream[300:])
	})
	if allocations != 0 || discard.n == 0 {
		t.Errorf("%v allocations for two events, one of them cut", allocations)
	}
}

// eventServer is a server of events: it answers each connection in another number of
// bytes, and ends as the number of the connection says.
func eventServer(t *testing.T, head string, ends []string) *foreigner {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &foreigner{listener: listener, paths: map[string]bool{}, greetings: map[string]bool{}}
	number := 0
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		end, cut := ends[number%len(ends)], number*37
		number++
		f.paths[r.URL.Path] = true
		f.greetings[r.Header.Get("Accept")+" "+r.Header.Get("Authorization")+r.Header.Get("Upgrade")] = true
		f.mu.Unlock()
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		stream := []byte(head)
		for i, size := range []int{64, StampBytes, 3000} {
			stream = append(stream, wire.EventsHeartbeat...)
			stream = wire.AppendEvent(stream, []byte("a-1"), AppendStamped(nil, uint64(i+1), Nanos(), size))
		}
		stream = append(stream, end...)
		cut %= len(stream)
		conn.Write(stream[:cut])
		conn.Write(stream[cut:])
		if end == "" {
			io.Copy(io.Discard, conn) // until the client ends it
		}
	})}
	f.running.Go(func() { server.Serve(listener) })
	t.Cleanup(func() { server.Close(); f.running.Wait() })
	return f
}

// What comes over a stream of events is counted as what comes in frames.
func TestEvents(t *testing.T) {
	head := string(wire.AppendEventsHead(nil, 0)) + wire.EventsPrelude
	const each = 20
	ends := []string{
		"",
		string(wire.AppendOwnEvent(nil, "close", nil, 0, "1012 server restarts")),
		"data: what is not ended is no message\n",
		string(wire.AppendGapEvent(nil, nil, 0)) + string(wire.AppendOwnEvent(nil, "close", nil, 0, "4001 messages may be missed")),
		"event: other\ndata: x\n\n",
	}
	f := eventServer(t, head, ends)
	client := start(t, Config{Spread: f.spread(each * len(ends)), Channel: "a/ü", Token: "t.o.k", Dialect: dialectOf(t, "events"),
		FirstSequence: 1, Expect: 3, Loops: 2})
	s := await(t, client, "all messages and all ends", func(s *Snapshot) bool { return s.Complete == each*len(ends) && s.Open == each })
	if s.Stamped != 3*each*uint64(len(ends)) || s.Text != s.Stamped || s.Binary != 0 || s.Pings != s.Stamped || s.Pongs != 0 {
		t.Errorf("%d messages, %d stamped, %d pings, %d pongs", s.Messages(), s.Stamped, s.Pings, s.Pongs)
	}
	if want := fmt.Sprintf("%d dropped without a close, %[1]d closed with 1012, %[1]d closed with 4001, %[1]d bad event, %[1]d told of a gap", each); s.Fault() != want {
		t.Errorf("the faults are %s, and not %s", s.Fault(), want)
	}
	if paths, accepts := f.seen(); len(paths) != 1 || paths[0] != "/a/ü" || len(accepts) != 1 || accepts[0] != "text/event-stream Bearer t.o.k" {
		t.Errorf("paths %q, fields %q", paths, accepts)
	}
	// Nobody says goodbye, and all end.
	if err := client.Storm(Storm{ForGood: true}); err != nil {
		t.Fatal(err)
	}
	if s = await(t, client, "the end", func(s *Snapshot) bool { return s.Open == 0 }); s.Ended != each {
		t.Errorf("%d ended", s.Ended)
	}
}

// An answer that is no stream of events is none.
func TestNoEvents(t *testing.T) {
	for head, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n":                                               "no Content-Type",
		"HTTP/1.1 200 OK\r\n\r\n":                                                                          "no Content-Type",
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n":         "Transfer-Encoding: chunked",
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nContent-Length: 5\r\n\r\n":   "Content-Length: 5",
		"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n": "",
	} {
		f := eventServer(t, head, []string{""})
		client := start(t, Config{Spread: f.spread(2), Channel: "a", Dialect: dialectOf(t, "events")})
		s := await(t, client, "all to be decided", (*Snapshot).Decided)
		kind := "bad upgrade"
		if want == "" {
			kind = "upgrade refused with 503"
		}
		if s.GaveUp != 2 || s.Failures[kind] != 2 || !strings.Contains(s.Problem, want) {
			t.Errorf("%q: %+v", head, s.Counters)
		}
	}
}
