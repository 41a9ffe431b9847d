package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// get is a GET with these lines behind a Host.
func get(target string, lines ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
}

// parse takes a head in one piece.
func parse(t testing.TB, head string) *Head {
	t.Helper()
	h := &Head{}
	size, fault := h.Parse([]byte(head), HeadBytesMax)
	if fault != FaultNone || size == 0 {
		t.Fatalf("%q: size %d, fault %d", head, size, fault)
	}
	return h
}

// heads are of all kinds, with the fault that each has.
var heads = []struct {
	head  string
	fault Fault
}{
	{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", FaultNone},
	{"GET / HTTP/1.0\r\n\r\n", FaultNone},
	{"GET / HTTP/1.9\r\nHost:\r\n\r\n", FaultNone},
	{"M-SEARCH * HTTP/1.1\r\nHost: h\r\n\r\n", FaultTarget},
	{"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", FaultNone},
	{"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", FaultNone},
	{"GET http://x HTTP/1.1\r\nHost: h\r\n\r\n", FaultNone},
	{"GET WSS://x:1?q HTTP/1.1\r\nHost: h\r\n\r\n", FaultNone},
	{"GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", FaultTarget},
	{"GET http://u@x/ HTTP/1.1\r\nHost: h\r\n\r\n", FaultTarget},
	{"GET file://x/ HTTP/1.1\r\nHost: h\r\n\r\n", FaultTarget},
	{"GET x HTTP/1.1\r\nHost: h\r\n\r\n", FaultTarget},
	{"GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", FaultTarget},
	{"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n", FaultTarget},
	{"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", FaultNone},
	{"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", FaultLine},
	{"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", FaultLine},
	{"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", FaultLine},
	{"GET /\r\n\r\n", FaultLine},
	{"GET / http/1.1\r\nHost: h\r\n\r\n", FaultLine},
	{"GET / HTTP/1.10\r\nHost: h\r\n\r\n", FaultLine},
	{"GET / HTTP/2.0\r\nHost: h\r\n\r\n", FaultVersion},
	{"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", FaultLine},
	{" GET / HTTP/1.1\r\nHost: h\r\n\r\n", FaultLine},
	{"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", FaultLine},
	{"GET / HTTP/1.1\r\n\r\n", FaultHost},
	{"GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n", FaultHostValue},
	{"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", FaultHostValue},
	{"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", FaultNone},
	{"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", FaultHostValue},
	{"GET / HTTP/1.1\r\nHost: [v1.x]\r\n\r\n", FaultNone},
	{"GET / HTTP/1.1\r\nHost: %4x\r\n\r\n", FaultHostValue},
	{get("/", "X : y"), FaultField}, {get("/", " X: y"), FaultField}, {get("/", ": y"), FaultField}, {get("/", "X"), FaultField},
	{get("/", "X@: y"), FaultField}, {get("/", "X: a\rb"), FaultField}, {get("/", "X: a\nY: b"), FaultField}, {get("/", "X: \x00"), FaultField},
	{get("/", "X: a\tb"), FaultNone}, {get("/", "X: 12345678\x7f"), FaultField}, {get("/", "X: \xff\x80"), FaultNone}, {get("/", "X:"), FaultNone},
	{get("/", "Content-Length: 3", "content-length: 3"), FaultLength}, {get("/", "Content-Length: 3, 3"), FaultLength},
	{get("/", "Content-Length: +3"), FaultLength}, {get("/", "Content-Length:"), FaultLength},
	{get("/", "Content-Length: 3", "Transfer-Encoding: chunked"), FaultLength},
	{get("/", "Transfer-Encoding: gzip, chunked"), FaultNone}, {get("/", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked"), FaultNone},
	{get("/", "Transfer-Encoding: chunked, gzip"), FaultCoding}, {get("/", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), FaultCoding},
	{get("/", "Transfer-Encoding: xchunked"), FaultCoding}, {get("/", "Transfer-Encoding:"), FaultCoding}, {get("/", "Transfer-Encoding: chunked;a"), FaultCoding},
	{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", FaultCoding},
}

// What a head is does not depend on how it comes, and is known with the byte that says so.
func TestHeadsCutAtEveryByte(t *testing.T) {
	for _, c := range heads {
		p := append([]byte(c.head), "behind it"...)
		var whole Head
		size, fault := whole.Parse(p, HeadBytesMax)
		if fault != c.fault || fault == FaultNone && size != len(c.head) {
			t.Errorf("%q: size %d, fault %d, want %d", c.head, size, fault, c.fault)
		}
		if broken := lawful(c.head); (broken == "") != (c.fault == FaultNone) {
			t.Errorf("%q: fault %d, and the rule of %s is broken", c.head, c.fault, broken)
		}
		for _, piece := range []int{1, 2, 3, 7, 64} {
			var h Head
			size, fault := 0, FaultNone
			for at := 0; size == 0 && fault == FaultNone && at < len(p); {
				at = min(at+piece, len(p))
				lent := bytes.Clone(p[:at])
				size, fault = h.Parse(lent, HeadBytesMax)
				if size == 0 && fault == FaultNone {
					copy(lent, bytes.Repeat([]byte{'~'}, at)) // the next call is handed all again
				}
			}
			if fault != c.fault || fault == FaultNone && size != len(c.head) {
				t.Errorf("%q in pieces of %d: size %d, fault %d, want %d", c.head, piece, size, fault, c.fault)
			}
			if h.p, whole.p = nil, nil; fault == FaultNone && !reflect.DeepEqual(h, whole) {
				t.Errorf("%q is another head in pieces of %d", c.head, piece)
			}
		}
	}
}

// A byte is looked at a few times at most, however a head is cut: what is left of a
// call that found nothing new is nothing.
func TestHeadsInPiecesAreLinear(t *testing.T) {
	p := []byte(get("/"+strings.Repeat("x", 20_000), strings.Repeat("n", 20_000)+": v", "X: "+strings.Repeat("v", 20_000)))
	var h Head
	for at := range p {
		if _, fault := h.Parse(p[:at], HeadBytesMax); fault != FaultNone {
			t.Fatal(fault)
		}
		// It stands at the end, or before a CR whose LF is to come.
		if behind := at - int(h.at); behind > 1 || behind == 1 && p[at-1] != '\r' {
			t.Fatalf("with %d bytes it stands at %d", at, h.at)
		}
	}
}

func TestHeadLimit(t *testing.T) {
	for _, c := range []struct {
		head  string
		fault Fault
	}{{get("/", "X: "+strings.Repeat("x", 100)), FaultLong}, {get("/" + strings.Repeat("x", 100)), FaultTargetLong}} {
		for most := 60; most <= len(c.head)+1; most++ {
			for _, isWhole := range []bool{true, false} {
				var h Head
				size, fault := 0, FaultNone
				for at := range len(c.head) + 1 {
					if isWhole {
						at = len(c.head)
					}
					if size, fault = h.Parse([]byte(c.head)[:at], most); size > 0 || fault != FaultNone {
						break
					}
				}
				want := FaultNone
				if most < len(c.head) {
					want = c.fault
				}
				if want == FaultTargetLong && most >= len(c.head)-len("Host: h\r\n\r\n") {
					want = FaultLong
				}
				if fault != want || (fault == FaultNone) != (size == len(c.head)) {
					t.Fatalf("%d bytes, %d allowed, whole: %v: size %d, fault %d, want %d", len(c.head), most, isWhole, size, fault, want)
				}
			}
		}
	}
}

func TestHeadParts(t *testing.T) {
	h := parse(t, "GET HTTP://other:81/a%20b?wait=30&since=x-1&wait=2&empty HTTP/1.1\r\nhost: h\r\nLast-Event-ID:  x-2 \r\nlast-event-id: x-3\r\n"+
		"Connection: keep-alive\r\nX-Forwarded-For: a,b\r\nCONNECTION:\tfoo ,, upgrade\r\nUpgrade: h2c\r\nX-Forwarded-FOR: \t c\t\r\nupgrade: , WebSocket\r\n\r\nbody")
	for what, got := range map[string][]byte{
		"GET": h.Method(), "HTTP://other:81/a%20b?wait=30&since=x-1&wait=2&empty": h.slice(h.target), "/a%20b": h.Path(),
		"wait=30&since=x-1&wait=2&empty": h.Query(), "other:81": h.HostPort(), "h": h.Value(Host), "x-2": h.Value(LastEventID),
		"[x-2 x-3]":                   fmt.Appendf(nil, "%s", h.Lines(LastEventID, make([][]byte, 9))),
		"[a,b \t c]":                  nil,
		"[keep-alive foo ,, upgrade]": fmt.Appendf(nil, "%s", h.Lines(Connection, make([][]byte, 2))),
		"[a,b c]":                     fmt.Appendf(nil, "%s", h.Lines(XForwardedFor, make([][]byte, 2))),
		"[c]":                         fmt.Appendf(nil, "%s", h.Lines(XForwardedFor, make([][]byte, 1))),
		"[]":                          fmt.Appendf(nil, "%s", h.Lines(Origin, make([][]byte, 1))),
	} {
		if got != nil && string(got) != what {
			t.Errorf("got %q, want %q", got, what)
		}
	}
	if h.Value(Origin) != nil || h.Count(LastEventID) != 2 || h.Length != -1 || h.HasBody() || h.IsLast() || !h.AsksUpgrade() {
		t.Errorf("%+v", h)
	}
	for name, want := range map[string]string{"wait": "30", "since": "x-1", "empty": "", "none": "-"} {
		value, isThere := h.Parameter(name)
		if !isThere {
			value = []byte("-")
		}
		if string(value) != want {
			t.Errorf("%s is %q", name, value)
		}
	}
	if bytes.HasSuffix(h.Bytes(), []byte("body")) || !bytes.HasSuffix(h.Bytes(), []byte("\r\n\r\n")) {
		t.Errorf("the head is %q", h.Bytes())
	}
	for target, want := range map[string]string{
		"/": "/ ", "/?": "/ ", "/?a?b": "/ a?b", "http://x": "/ ", "http://x?q": "/ q", "http://x/": "/ ", "ws://x:1/y?": "/y ", "//x/y": "//x/y ",
		"/http://x/?q": "/http://x/ q",
	} {
		if h := parse(t, get(target)); fmt.Sprintf("%s %s", h.Path(), h.Query()) != want {
			t.Errorf("%s: path %q, query %q", target, h.Path(), h.Query())
		}
	}
}

func TestHeadMeanings(t *testing.T) {
	for _, c := range []struct {
		head string
		what func(*Head) bool
		want bool
	}{
		{get("/", "Connection: CLOSE"), (*Head).IsLast, true},
		{get("/", "Connection: x, close"), (*Head).IsLast, true},
		{get("/", "Connection: x", "Connection: close"), (*Head).IsLast, true},
		{get("/", "Connection: closed"), (*Head).IsLast, false},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", (*Head).IsLast, true},
		{"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", (*Head).IsUpgrade, false},
		{get("/", "Upgrade: h2c, websocket"), (*Head).IsUpgrade, true},
		{get("/", "Upgrade: h2c", "Upgrade: WEBSOCKET"), (*Head).IsUpgrade, true},
		{get("/", "Upgrade: websockets"), (*Head).IsUpgrade, false},
		{get("/", "Upgrade: websocket"), (*Head).AsksUpgrade, false},
		{get("/", "Upgrade: websocket", "Connection: keep-alive", "Connection: Upgrade"), (*Head).AsksUpgrade, true},
		{get("/", "Upgrade: websocket", "Connection: Upgrade", "Connection: keep-alive"), (*Head).AsksUpgrade, true},
		{get("/", "Connection: close", "Connection: keep-alive"), (*Head).IsLast, true},
		{get("/", "Content-Encoding: identity", "Content-Encoding: gzip"), func(h *Head) bool { return h.Encoded }, true},
		{get("/", "Content-Encoding: gzip", "Content-Encoding: identity"), func(h *Head) bool { return h.Encoded }, true},
		{get("/", "Content-Encoding: , Identity"), func(h *Head) bool { return h.Encoded }, false},
		{get("/", "Expect: 100-Continue"), func(h *Head) bool { return h.ExpectContinue }, true},
		{"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", func(h *Head) bool { return h.ExpectContinue }, false},
		{get("/", "Content-Length: 99999999999999999999"), func(h *Head) bool { return h.Length == math.MaxInt64 }, true},
		{get("/", "Content-Length: 007"), func(h *Head) bool { return h.Length == 7 }, true},
		{get("/", "Content-Length: 0"), (*Head).HasBody, false},
		{get("/", "Transfer-Encoding: chunked"), (*Head).HasBody, true},
	} {
		if got := c.what(parse(t, c.head)); got != c.want {
			t.Errorf("%q: %v", c.head, got)
		}
	}
}

func TestAccept(t *testing.T) {
	for accept, want := range map[string]bool{
		"text/event-stream": true, "TEXT/Event-Stream": true, "text/event-stream;q=0": false, "text/event-stream; Q=0.000": false,
		"text/event-stream;q=0.001": true, "text/event-stream ; q=1": true, "text/html, text/event-stream;q=0.5": true, "*/*": false, "text/*": false,
		"": false, ",": false, "text/event-streams": false, "text/event-stream;q=2": false, "text/event-stream;q=x": false, "text/event-stream;q=0.0001": false,
		"text/event-stream;charset=utf-8": true, "text/event-stream;charset=utf-8;q=0": false, "text/event-stream;level=1": false,
		`x/y;z="a,text/event-stream,b"`: false, `x/y;z="\",",text/event-stream`: true, "text/event-stream;q=0|text/event-stream": true, "text/html|text/event-stream": true,
		"*/*, text/event-stream;q=0": false, "text/event-stream;q=1.000": true, "text/event-stream;q=1.001": false, "text/event-stream;q=.5": false,
	} {
		var lines []string
		for _, line := range strings.Split(accept, "|") {
			lines = append(lines, "Accept: "+line)
		}
		if h := parse(t, get("/", lines...)); h.AcceptsEvents() != want {
			t.Errorf("%q: %v", accept, !want)
		}
	}
	if !parse(t, get("/", "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")).AcceptsHTML() {
		t.Error("a browser wants no HTML")
	}
}

func TestSkipEmptyLines(t *testing.T) {
	for p, want := range map[string]string{"": "", "\r": "\r", "\r\n": "", "\r\n\r": "\r", "\r\n\r\nGET": "GET", "\n": "\n", "\n\r\n": "\n\r\n"} {
		if got := SkipEmptyLines([]byte(p)); string(got) != want {
			t.Errorf("%q: %q", p, got)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	for _, c := range heads {
		p, h := []byte(c.head), &Head{}
		if n := testing.AllocsPerRun(100, func() {
			*h = Head{}
			h.Parse(p, HeadBytesMax)
			if h.fault == FaultNone {
				h.Path()
				h.Parameter("wait")
				h.AcceptsEvents()
				var lines [4][]byte
				h.Lines(XForwardedFor, lines[:])
			}
		}); n != 0 {
			t.Errorf("%q allocates %v times", c.head, n)
		}
	}
}

// FuzzHead holds the parser against the rules, which are stated without it, against
// net/http, and against itself with another cut.
func FuzzHead(f *testing.F) {
	for i, c := range heads {
		f.Add([]byte(c.head), uint16(i))
	}
	f.Fuzz(func(t *testing.T, p []byte, cut uint16) {
		end := bytes.Index(p, []byte("\r\n\r\n"))
		if end < 0 {
			p = append(p, "\r\n\r\n"...)
			end = bytes.Index(p, []byte("\r\n\r\n"))
		}
		if p = p[:end+4]; len(p) > HeadBytesMax {
			return
		}
		var h, two Head
		size, fault := h.Parse(p, HeadBytesMax)
		if size, again := two.Parse(p[:int(cut)%len(p)], HeadBytesMax); size == 0 && again == FaultNone {
			two.Parse(p, HeadBytesMax)
		}
		if two.p = h.p; !reflect.DeepEqual(h, two) {
			t.Fatalf("%q is another head when it is cut at %d", p, int(cut)%len(p))
		}
		if broken := lawful(string(p)); (broken == "") != (fault == FaultNone) || fault == FaultNone && size != len(p) {
			t.Fatalf("%q: fault %d, size %d; the rule of %q is broken", p, fault, size, broken)
		}
		if fault != FaultNone {
			return
		}
		if want := bodyOf(string(p)); want < 0 && !h.Chunked || want >= 0 && max(h.Length, 0) != want {
			t.Fatalf("%q: length %d, chunked %v, want %d", p, h.Length, h.Chunked, want)
		}
		compareWithNetHTTP(t, &h, p)
	})
}

// compareWithNetHTTP: what we find good it reads as the same, or refuses.
func compareWithNetHTTP(t *testing.T, h *Head, p []byte) {
	theirs, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(p), bytes.NewReader(make([]byte, 1)))))
	if err != nil {
		return // it is stricter about targets and hosts
	}
	if theirs.Method != string(h.Method()) || theirs.RequestURI != string(h.slice(h.target)) || theirs.Host != string(h.HostPort()) && h.HostPort() != nil {
		t.Errorf("%q: they read %s %s of %q, we %q", p, theirs.Method, theirs.RequestURI, theirs.Host, h.HostPort())
	}
	if h.Chunked != (len(theirs.TransferEncoding) > 0) || !h.Chunked && theirs.ContentLength != max(0, h.Length) {
		t.Errorf("%q: our length is %d, theirs %d %v", p, h.Length, theirs.ContentLength, theirs.TransferEncoding)
	}
	if theirs.Close != h.IsLast() && h.minor != 0 {
		t.Errorf("%q: we find that it is the last: %v, they: %v", p, h.IsLast(), theirs.Close)
	}
	for f := range fields {
		want := theirs.Header.Values(fieldNames[f])
		if f == Host || f == Connection || f == TransferEncoding || len(want) == 0 {
			continue // they take these out
		}
		got := h.Lines(f, make([][]byte, len(want)+1))
		if len(got) != len(want) || h.Count(f) != len(want) {
			t.Errorf("%q: they read %q for %s, we %q", p, want, fieldNames[f], got)
			continue
		}
		for i, line := range got {
			if string(line) != want[i] {
				t.Errorf("%q: they read %q for %s, we %q", p, want, fieldNames[f], got)
			}
		}
	}
}

func BenchmarkHead(b *testing.B) {
	for _, padding := range []int{0, 1300} {
		head := []byte(get("/news", "Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
			"Sec-WebSocket-Version: 13", "X: "+strings.Repeat("x", padding)))
		b.Run(fmt.Sprint(len(head)), func(b *testing.B) {
			var h Head
			b.ReportAllocs()
			for b.Loop() {
				h = Head{}
				if _, fault := h.Parse(head, HeadBytesMax); fault != FaultNone {
					b.Fatal(fault)
				}
			}
		})
	}
}
