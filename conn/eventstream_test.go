package conn

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
)

// A clientEvent is what an EventSource makes of a stream.
type clientEvent struct{ event, id, data string }

// readEvents is the client's side, after the HTML Standard, 9.2.6: as literal as
// it gets, and with none of appendEvent's thoughts. retry is the last that was
// set. What is not ended by an empty line is dropped.
func readEvents(stream string) (events []clientEvent, lastID, retry string) {
	stream = strings.TrimPrefix(stream, "\ufeff")
	var data, event string
	for len(stream) > 0 {
		end := strings.IndexAny(stream, "\r\n")
		if end < 0 {
			break
		}
		line := stream[:end]
		if strings.HasPrefix(stream[end:], "\r\n") {
			end++
		}
		stream = stream[end+1:]
		if line == "" {
			if data != "" {
				if event == "" {
					event = "message"
				}
				events = append(events, clientEvent{event, lastID, strings.TrimSuffix(data, "\n")})
			}
			data, event = "", ""
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			event = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				lastID = value
			}
		case "retry":
			retry = value
		}
	}
	return events, lastID, retry
}

// payload is what the message was.
func (e clientEvent) payload(t testing.TB) string {
	t.Helper()
	if e.event != eventBase64 {
		return e.data
	}
	p, err := base64.StdEncoding.DecodeString(e.data)
	if err != nil {
		t.Fatalf("no base64 in %q: %v", e.data, err)
	}
	return string(p)
}

func checkEvent(t testing.TB, payload []byte) {
	t.Helper()
	id := []byte("abcd1234-17")
	got := appendEvent(nil, id, payload)
	if len(got) != eventBytes(id, payload) {
		t.Fatalf("%.80q has %d bytes, and eventBytes says %d", got, len(got), eventBytes(id, payload))
	}
	// Something before and after, so that an event that does not end shows.
	stream := append(appendEvent([]byte(eventsPrelude), []byte("abcd1234-16"), []byte("before")), got...)
	stream = appendEvent(stream, []byte("abcd1234-18"), []byte("after"))
	events, _, _ := readEvents(string(stream))
	if len(events) != 3 || events[0] != (clientEvent{"message", "abcd1234-16", "before"}) ||
		events[2] != (clientEvent{"message", "abcd1234-18", "after"}) {
		t.Fatalf("the client reads %.300q from %.300q", events, stream)
	}
	if e := events[1]; e.id != string(id) || e.payload(t) != string(payload) {
		t.Fatalf("the client reads %.300q for %.300q", e, payload)
	}
	if want := !bytes.ContainsAny(payload, "\r\x00") && bytes.Equal(bytes.ToValidUTF8(payload, nil), payload); want != (events[1].event == "message") {
		t.Fatalf("%.80q went as %s", payload, events[1].event)
	}
}

func TestEventsCarryEveryPayload(t *testing.T) {
	for _, payload := range []string{
		"", " ", "  two", "hello", "a\nb", "\n", "\n\n", "\na", "a\n", ":", ": x", "data: x", "id: 9\n\nid: 8", "event: gap",
		"a\rb", "\r", "\r\n", "a\r\n\r\nb", "\x00", "\ufeff", "é€😀", "\xff", "a\xc3", "\xed\xa0\x80", "\u2028\u0085\v\f",
		strings.Repeat("x", 1<<16), strings.Repeat("\n", 1<<12), strings.Repeat("\xfe", 3001),
	} {
		checkEvent(t, []byte(payload))
	}
	for first := range 256 {
		for _, second := range []string{"", "\n", "x", "\x80"} {
			checkEvent(t, append([]byte{byte(first)}, second...))
		}
	}
}

func FuzzEvent(f *testing.F) {
	for _, payload := range []string{"", "a\nb", "\r", "\xff", " x", "\n\n"} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) { checkEvent(t, payload) })
}

func TestOwnEvents(t *testing.T) {
	stream := appendOwnEvent(nil, "gap", []byte("abcd1234-5"), 0, "Messages may be missing.")
	stream = appendOwnEvent(stream, "drain", nil, 2500, "server restarts")
	events, lastID, retry := readEvents(string(stream))
	want := []clientEvent{{"gap", "abcd1234-5", "Messages may be missing."}, {"drain", "abcd1234-5", "server restarts"}}
	if !reflect.DeepEqual(events, want) || lastID != "abcd1234-5" || retry != "2500" {
		t.Errorf("the client reads %q, the position %q, retry %q", events, lastID, retry)
	}
}
