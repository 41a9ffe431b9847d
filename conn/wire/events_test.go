package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"c10m/conn/wire/wiretest"
)

func checkEvent(t testing.TB, payload []byte) {
	t.Helper()
	id := []byte("abcd1234-17")
	got := AppendEvent(nil, id, payload)
	if len(got) != EventBytes(id, payload) {
		t.Fatalf("%.80q has %d bytes, and EventBytes says %d", got, len(got), EventBytes(id, payload))
	}
	// Something before and after, so that an event that does not end shows.
	stream := append(AppendEvent([]byte(EventsPrelude), []byte("abcd1234-16"), []byte("before")), got...)
	stream = AppendEvent(stream, []byte("abcd1234-18"), []byte("after"))
	events, _, _ := wiretest.ReadEvents(string(stream))
	if len(events) != 3 || events[0] != (wiretest.Event{Type: "message", ID: "abcd1234-16", Data: "before"}) ||
		events[2] != (wiretest.Event{Type: "message", ID: "abcd1234-18", Data: "after"}) {
		t.Fatalf("the client reads %.300q from %.300q", events, stream)
	}
	if e := events[1]; e.ID != string(id) || e.Payload(t) != string(payload) {
		t.Fatalf("the client reads %.300q for %.300q", e, payload)
	}
	if want := !bytes.ContainsAny(payload, "\r\x00") && bytes.Equal(bytes.ToValidUTF8(payload, nil), payload); want != (events[1].Type == "message") {
		t.Fatalf("%.80q went as %s", payload, events[1].Type)
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
	stream := AppendOwnEvent(nil, "gap", []byte("abcd1234-5"), 0, "Messages may be missing.")
	stream = AppendOwnEvent(stream, "drain", nil, 2500, "server restarts")
	events, lastID, retry := wiretest.ReadEvents(string(stream))
	want := []wiretest.Event{{Type: "gap", ID: "abcd1234-5", Data: "Messages may be missing."}, {Type: "drain", ID: "abcd1234-5", Data: "server restarts"}}
	if !reflect.DeepEqual(events, want) || lastID != "abcd1234-5" || retry != "2500" {
		t.Errorf("the client reads %q, the position %q, retry %q", events, lastID, retry)
	}
}
