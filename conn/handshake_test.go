package conn

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"c10m/channel"
	"c10m/conn/admission"
	"c10m/conn/reasons"
	"c10m/conn/wire"

	"github.com/gobwas/ws"
)

// headOf parses a request of tests, and says how it is refused by itself.
func headOf(request string) (*wire.Head, reasons.Reason) {
	h := &wire.Head{}
	size, fault := h.Parse([]byte(request), RequestBytesDefault)
	if size == 0 && fault == wire.FaultNone {
		panic(fmt.Sprintf("BUG: %q is no whole request", request))
	}
	return h, reasons.OfFault[fault]
}

// A handshaker judges requests for WebSockets without a loop.
type handshaker struct{ server *Server }

func newHandshaker() *handshaker {
	s := &Server{shared: NewShared(testConfig())}
	s.tieParts()
	return &handshaker{s}
}

func (h *handshaker) upgrade(request string) (response []byte, reason reasons.Reason) {
	head, reason := headOf(request)
	s := h.server
	way, _ := routeOf(head)
	switch {
	case reason != reasons.None:
	case way == routeMethod:
		reason = admission.Method(head)
	case way == routeInvite:
		reason = s.gate.judge.Invite(head)
	default:
		_, reason = s.gate.judgeUpgrade(head)
	}
	if reason != reasons.None {
		return nil, reason
	}
	s.exchange.later = wire.AppendSwitch(s.exchange.later[:0], head.Value(wire.SecWebSocketKey), s.gate.judge.Subprotocol)
	return s.exchange.later, reasons.None
}

// badRequests are refused whatever the cut.
var badRequests = []struct {
	name    string
	request string
	status  int
	reason  reasons.Reason
	header  string // one that the answer has
}{
	{"garbage line", "hello\r\n\r\n", 400, reasons.RequestMalformed, ""},
	{"no version", "GET /x\r\n\r\n", 400, reasons.RequestMalformed, ""},
	{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, reasons.RequestMalformed, ""},
	{"binary", "\x00\xff\xfe\r\n\r\n", 400, reasons.RequestMalformed, ""},
	{"redis", "*1\r\n$4\r\nPING\r\n", 400, reasons.RequestMalformed, ""},
	{"lower case", edit("GET", "get"), 501, reasons.RequestUnknownMethod, ""},
	{"POST", edit("GET", "PUT"), 405, reasons.RequestMethod, "Allow: GET, HEAD, POST, OPTIONS"},
	{"HTTP/1.0", edit("HTTP/1.1", "HTTP/1.0"), 426, reasons.RequestNoUpgrade, "Upgrade: websocket"},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, reasons.RequestVersion, ""},
	{"no Host", edit("Host: h\r\n", ""), 400, reasons.RequestHost, ""},
	{"two Hosts", edit("Host: h", "Host: h\r\nHost: h"), 400, reasons.RequestHostInvalid, ""},
	{"two Hosts, apart", edit("Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 13\r\nhOST:\r\n"), 400, reasons.RequestHostInvalid, ""},
	{"a browser's GET", "GET /news HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n", 426, reasons.RequestNoUpgrade, "Upgrade: websocket"},
	{"another upgrade", edit("websocket", "h2c"), 426, reasons.RequestNoUpgrade, "Upgrade: websocket"},
	{"Connection: close", edit("keep-alive, Upgrade", "close"), 426, reasons.RequestNoUpgrade, ""},
	{"no key", edit("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400, reasons.RequestKey, ""},
	{"short key", edit("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), 400, reasons.RequestKey, ""},
	{"key not base64", edit("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBs!SBub25jZQ=="), 400, reasons.RequestKey, ""},
	{"key of 18 bytes", edit("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQQQ"), 400, reasons.RequestKey, ""},
	{"two keys", edit("Host: h", "Host: h\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=="), 400, reasons.RequestKey, ""},
	{"version 12", edit("Version: 13", "Version: 12"), 426, reasons.RequestWSVersion, "Sec-WebSocket-Version: 13"},
	{"no version of WebSocket", edit("Sec-WebSocket-Version: 13\r\n", ""), 426, reasons.RequestWSVersion, "Sec-WebSocket-Version: 13"},
	{"line without colon", edit("Host: h", "Host: h\r\nrubbish"), 400, reasons.RequestMalformed, ""},
	{"blank before colon", edit("Host:", "Host :"), 400, reasons.RequestMalformed, ""},
	{"folded line", edit("Host: h", "X: y\r\n Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nHost: h"), 400, reasons.RequestMalformed, ""},
	{"bare line feed", edit("Host: h\r\n", "Host: h\n"), 400, reasons.RequestMalformed, ""},
	{"only bare line feeds", strings.ReplaceAll(upgradeRequest("/news"), "\r\n", "\n"), 400, reasons.RequestMalformed, ""},
	{"a body", edit("Host: h", "Host: h\r\nContent-Length: 5"), 400, reasons.RequestMalformed, ""},
	{"a chunked body", edit("Host: h", "Host: h\r\nTransfer-Encoding: chunked"), 400, reasons.RequestMalformed, ""},
	{"NUL", edit("Host: h", "Host: h\r\nX: a\x00b"), 400, reasons.RequestMalformed, ""},
	{"bare CR", edit("Host: h", "Host: h\r\nX: a\rb"), 400, reasons.RequestMalformed, ""},
	{"no token", edit("Host: h", "Host: h\r\nX@(): y"), 400, reasons.RequestMalformed, ""},
	{"no name", edit("Host: h", "Host: h\r\n: x"), 400, reasons.RequestMalformed, ""},
	{"Host of a URL", edit("Host: h", "Host: http://h/"), 400, reasons.RequestHostInvalid, ""},
	{"empty path", edit("/news", "*"), 400, reasons.RequestChannel, ""},
	{"only a slash", edit("/news", "/"), 400, reasons.RequestChannel, ""},
	{"control character", edit("/news", "/news\v"), 400, reasons.RequestChannel, ""},
	{"fragment", edit("/news", "/news#x"), 400, reasons.RequestChannel, ""},
	{"bad percent", edit("/news", "/%4x"), 400, reasons.RequestChannel, ""},
	{"256 bytes", edit("/news", "/"+strings.Repeat("x", 256)), 400, reasons.RequestChannel, ""},
	{"not UTF-8", edit("/news", "/%ff"), 400, reasons.RequestChannel, ""},
	{"reserved", edit("/news", "/-/x"), 404, reasons.RequestReserved, ""},
	{"reserved, encoded", edit("/news", "/%2D%2F"), 404, reasons.RequestReserved, ""},
	{"too long", edit("Host: h", "Host: h\r\nX: "+strings.Repeat("x", RequestBytesDefault)), 431, reasons.RequestTooLong, ""},
	{"too long by a byte", requestOf(RequestBytesDefault + 1), 431, reasons.RequestTooLong, ""},
	{"endless", "GET /" + strings.Repeat("x", 3*RequestBytesDefault), 414, reasons.RequestTargetTooLong, ""},
}

// edit is the good request with one change.
func edit(from, to string) string {
	request := upgradeRequest("/news")
	if strings.Count(request, from) != 1 && from != "Host: h" {
		panic("BUG: " + from + " is not there once")
	}
	return strings.Replace(request, from, to, 1)
}

// requestOf is a good request of this many bytes.
func requestOf(size int) string {
	padding := size - len(upgradeRequest("/news")) - len("X: \r\n")
	return edit("Host: h\r\n", "Host: h\r\nX: "+strings.Repeat("x", padding)+"\r\n")
}

func TestUpgradeJudgesRequests(t *testing.T) {
	h := newHandshaker()
	for _, c := range badRequests {
		if !strings.HasSuffix(c.request, "\r\n\r\n") {
			continue // see the test over sockets
		}
		_, reason := h.upgrade(c.request)
		if reason != c.reason {
			t.Errorf("%s: %v, want %v", c.name, reason, c.reason)
		}
		checkRefused(t, reason)
	}
	for _, request := range []string{upgradeRequest("/news"), requestOf(RequestBytesDefault), edit("/news", "ws://h/news?x")} {
		response, reason := h.upgrade(request)
		if reason != reasons.None || string(h.server.gate.judge.Channel) != "news" {
			t.Errorf("%.60q: %v %q", request, reason, h.server.gate.judge.Channel)
		}
		checkAccept(t, response, "dGhlIHNhbXBsZSBub25jZQ==")
	}
}

// checkRefused checks that a reason is one for which requests are refused: its words are
// package reasons'.
func checkRefused(t *testing.T, reason reasons.Reason) {
	t.Helper()
	if status, _, _ := reason.Told(); status == 0 {
		t.Errorf("%v refuses no request", reason)
	}
}

func checkAccept(t *testing.T, response []byte, key string) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(response)), &http.Request{Method: "GET"})
	if err != nil || r.StatusCode != 101 {
		t.Fatalf("no upgrade: %v in %q", err, response)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if got, want := r.Header.Get("Sec-WebSocket-Accept"), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		t.Errorf("accept %q for key %q, want %q", got, key, want)
	}
	if !bytes.HasSuffix(response, []byte("\r\n\r\n")) || r.Header.Get("Upgrade") == "" || r.Header.Get("Connection") == "" {
		t.Errorf("response %q", response)
	}
}

// FuzzRequest has any request judged beside the library's Upgrader and net/http: it is
// answered with one whole HTTP refusal, or with an upgrade for its key and a channel that
// exists; and what we upgrade they upgrade, but where they are known to be stricter.
func FuzzRequest(f *testing.F) {
	for _, c := range badRequests {
		f.Add([]byte(c.request))
	}
	f.Add([]byte(upgradeRequest("/news")))
	f.Add([]byte(edit("/news", "http://host/a%2Fb?c")))
	f.Add([]byte(edit("Sec-WebSocket-Key: ", "sec-websocket-KEY:")))
	h := newHandshaker()
	f.Fuzz(func(t *testing.T, p []byte) {
		end := requestEnd(p, 0)
		if end == 0 {
			p = append(p, "\r\n\r\n"...)
			end = requestEnd(p, 0)
		}
		if end > RequestBytesDefault {
			return
		}
		request := string(p[:end])
		response, reason := h.upgrade(request)
		theirs := upgradedByTheLibrary(request)
		if reason != reasons.None {
			checkRefused(t, reason)
			return
		}
		if !channel.ValidName(h.server.gate.judge.Channel) {
			t.Fatalf("%q was upgraded to channel %q", request, h.server.gate.judge.Channel)
		}
		parsed, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
		if err != nil {
			return // net/http is stricter about characters in targets and hosts
		}
		keys := parsed.Header.Values("Sec-WebSocket-Key")
		if parsed.Method != "GET" || len(keys) != 1 {
			t.Fatalf("%q was upgraded: %s with keys %q", request, parsed.Method, keys)
		}
		checkAccept(t, response, keys[0])
		isList := len(parsed.Header.Values("Upgrade")) > 1 || len(parsed.Header.Values("Connection")) > 1 || strings.Contains(parsed.Header.Get("Upgrade"), ",")
		if theirs != nil && !isList {
			t.Fatalf("%q was upgraded, and the library says %v", request, theirs)
		}
	})
}

// upgradedByTheLibrary says why ws.Upgrader refuses a request, nil if it does not.
func upgradedByTheLibrary(request string) error {
	_, err := (&ws.Upgrader{ReadBufferSize: RequestBytesDefault}).Upgrade(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(request), io.Discard})
	return err
}

// What the library finds good is good, but for what it does not look at: a list in
// badRequests says each.
func TestTheLibraryAgrees(t *testing.T) {
	laxer := 0
	for _, c := range badRequests {
		if strings.HasSuffix(c.request, "\r\n\r\n") && len(c.request) <= RequestBytesDefault && upgradedByTheLibrary(c.request) == nil {
			laxer++
		}
	}
	if err := upgradedByTheLibrary(upgradeRequest("/news")); err != nil || laxer == 0 {
		t.Errorf("the library refuses a good request (%v), and takes %d bad ones", err, laxer)
	}
	t.Logf("the library takes %d of %d requests that are bad", laxer, len(badRequests))
}

// answers is what the loop does with a good request, which is lent.
func (h *handshaker) answers(p []byte) (isGood bool) {
	s, head := h.server, &h.server.exchange.head
	*head = wire.Head{}
	_, fault := head.Parse(p, RequestBytesDefault)
	_, reason := s.gate.judgeUpgrade(head)
	s.exchange.later = wire.AppendSwitch(s.exchange.later[:0], head.Value(wire.SecWebSocketKey), s.gate.judge.Subprotocol)
	return fault == wire.FaultNone && reason == reasons.None
}

// The answer is made in buffers that the loop reuses: a handshake allocates nothing.
func TestHandshakeAllocatesNothing(t *testing.T) {
	h := newHandshaker()
	for _, request := range []string{upgradeRequest("/news"), requestOf(RequestBytesDefault)} {
		p := []byte(request)
		if n := testing.AllocsPerRun(100, func() {
			if !h.answers(p) {
				t.Fatal("a good request is bad")
			}
		}); n != 0 {
			t.Errorf("a request of %d bytes allocates %v times", len(request), n)
		}
	}
}

func BenchmarkHandshake(b *testing.B) {
	h := newHandshaker()
	for _, request := range [][]byte{[]byte(upgradeRequest("/news")), []byte(requestOf(1500))} {
		b.Run(fmt.Sprint(len(request)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !h.answers(request) {
					b.Fatal("a good request is bad")
				}
			}
		})
	}
}
