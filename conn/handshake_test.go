package conn

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"c10m/channel"
	"c10m/conn/wire"

	"github.com/gobwas/ws"
)

// headOf parses a request of tests, and says how it is refused by itself.
func headOf(request string) (*wire.Head, Reason) {
	h := &wire.Head{}
	size, fault := h.Parse([]byte(request), RequestBytesDefault)
	if size == 0 && fault == wire.FaultNone {
		panic(fmt.Sprintf("BUG: %q is no whole request", request))
	}
	return h, faultReasons[fault]
}

// A handshaker judges requests for WebSockets without a loop.
type handshaker struct{ server *Server }

func newHandshaker() *handshaker {
	s := &Server{shared: NewShared(testConfig())}
	s.tieParts()
	return &handshaker{s}
}

func (h *handshaker) upgrade(request string) (response []byte, reason Reason) {
	head, reason := headOf(request)
	s := h.server
	way, _ := routeOf(head)
	switch {
	case reason != reasonNone:
	case way == routeMethod:
		reason = methodReason(head)
	case way == routeInvite:
		reason = s.gate.judgeInvite(head)
	default:
		reason = s.gate.judgeUpgrade(head)
	}
	if reason != reasonNone {
		return refusal(reason), reason
	}
	s.gate.shake.response = wire.AppendSwitch(s.gate.shake.response[:0], head.Value(wire.SecWebSocketKey), s.gate.shake.protocol)
	return s.gate.shake.response, reasonNone
}

func TestAppendChannel(t *testing.T) {
	long := strings.Repeat("x", channel.NameBytesMax)
	for _, c := range []struct {
		target, channel string
		err             error
	}{
		{"/news", "news", nil},
		{"/sport%2F1", "sport/1", nil},
		{"/sport/1", "sport/1", nil},
		{"//x", "/x", nil},
		{"/a+b", "a+b", nil},
		{"/%C3%A9%e2%82%ac", "é€", nil},
		{"/é", "é", nil},
		{"/news?token=/x", "news", nil},
		{"/news?a?b", "news", nil},
		{"/a%3Fb", "a?b", nil},
		{"/a%23b", "a#b", nil},
		{"/%00", "\x00", nil},
		{"http://host/news", "news", nil},
		{"ws://host:80/news?x", "news", nil},
		{"/redirect/http://x", "redirect/http://x", nil},
		{"/" + long, long, nil},
		{"/" + strings.Repeat("%41", 255), strings.Repeat("A", 255), nil},
		{"/-", "-", nil},
		{"/x/-/", "x/-/", nil},

		{"", "", errChannel},
		{"/", "", errChannel},
		{"/?x", "", errChannel},
		{"*", "", errChannel},
		{"news", "", errChannel},
		{"/news#x", "", errChannel},
		{"/news?a#x", "", errChannel},
		{"http://host/news#", "", errChannel},
		{"host:443", "", errChannel},
		{"http://host", "", errChannel},
		{"http://host?x=/news", "", errChannel},
		{"/%", "", errChannel},
		{"/%4", "", errChannel},
		{"/%4g", "", errChannel},
		{"/%g4", "", errChannel},
		{"/%4?1", "", errChannel},
		{"/\xff", "", errChannel},
		{"/%FF", "", errChannel},
		{"/" + long + "x", "", errChannel},
		{"/-/", "", errReserved},
		{"/-/health", "", errReserved},
		{"/%2D%2F", "", errReserved},
		{"/%2d%2fx?y", "", errReserved},
		{"http://host/-/x", "", errReserved},
	} {
		if c.target == "" {
			continue // no request's target
		}
		var got []byte
		err := errChannel
		if h, fault := headOf("GET " + c.target + " HTTP/1.1\r\nHost: h\r\n\r\n"); fault == reasonNone {
			got, err = appendChannel(nil, h.Path())
		}
		if err != c.err || err == nil && string(got) != c.channel {
			t.Errorf("%.40q: %.40q %v; want %.40q %v", c.target, got, err, c.channel, c.err)
		}
	}
}

// badRequests are refused whatever the cut.
var badRequests = []struct {
	name    string
	request string
	status  int
	reason  Reason
	header  string // one that the answer has
}{
	{"garbage line", "hello\r\n\r\n", 400, RequestMalformed, ""},
	{"no version", "GET /x\r\n\r\n", 400, RequestMalformed, ""},
	{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, RequestMalformed, ""},
	{"binary", "\x00\xff\xfe\r\n\r\n", 400, RequestMalformed, ""},
	{"redis", "*1\r\n$4\r\nPING\r\n", 400, RequestMalformed, ""},
	{"lower case", edit("GET", "get"), 501, RequestUnknownMethod, ""},
	{"POST", edit("GET", "PUT"), 405, RequestMethod, "Allow: GET, HEAD, POST, OPTIONS"},
	{"HTTP/1.0", edit("HTTP/1.1", "HTTP/1.0"), 426, RequestNoUpgrade, "Upgrade: websocket"},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, RequestVersion, ""},
	{"no Host", edit("Host: h\r\n", ""), 400, RequestHost, ""},
	{"two Hosts", edit("Host: h", "Host: h\r\nHost: h"), 400, RequestHostInvalid, ""},
	{"two Hosts, apart", edit("Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 13\r\nhOST:\r\n"), 400, RequestHostInvalid, ""},
	{"a browser's GET", "GET /news HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n", 426, RequestNoUpgrade, "Upgrade: websocket"},
	{"another upgrade", edit("websocket", "h2c"), 426, RequestNoUpgrade, "Upgrade: websocket"},
	{"Connection: close", edit("keep-alive, Upgrade", "close"), 426, RequestNoUpgrade, ""},
	{"no key", edit("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400, RequestKey, ""},
	{"short key", edit("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), 400, RequestKey, ""},
	{"key not base64", edit("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBs!SBub25jZQ=="), 400, RequestKey, ""},
	{"key of 18 bytes", edit("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQQQ"), 400, RequestKey, ""},
	{"two keys", edit("Host: h", "Host: h\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=="), 400, RequestKey, ""},
	{"version 12", edit("Version: 13", "Version: 12"), 426, RequestWSVersion, "Sec-WebSocket-Version: 13"},
	{"no version of WebSocket", edit("Sec-WebSocket-Version: 13\r\n", ""), 426, RequestWSVersion, "Sec-WebSocket-Version: 13"},
	{"line without colon", edit("Host: h", "Host: h\r\nrubbish"), 400, RequestMalformed, ""},
	{"blank before colon", edit("Host:", "Host :"), 400, RequestMalformed, ""},
	{"folded line", edit("Host: h", "X: y\r\n Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nHost: h"), 400, RequestMalformed, ""},
	{"bare line feed", edit("Host: h\r\n", "Host: h\n"), 400, RequestMalformed, ""},
	{"only bare line feeds", strings.ReplaceAll(upgradeRequest("/news"), "\r\n", "\n"), 400, RequestMalformed, ""},
	{"a body", edit("Host: h", "Host: h\r\nContent-Length: 5"), 400, RequestMalformed, ""},
	{"a chunked body", edit("Host: h", "Host: h\r\nTransfer-Encoding: chunked"), 400, RequestMalformed, ""},
	{"NUL", edit("Host: h", "Host: h\r\nX: a\x00b"), 400, RequestMalformed, ""},
	{"bare CR", edit("Host: h", "Host: h\r\nX: a\rb"), 400, RequestMalformed, ""},
	{"no token", edit("Host: h", "Host: h\r\nX@(): y"), 400, RequestMalformed, ""},
	{"no name", edit("Host: h", "Host: h\r\n: x"), 400, RequestMalformed, ""},
	{"Host of a URL", edit("Host: h", "Host: http://h/"), 400, RequestHostInvalid, ""},
	{"empty path", edit("/news", "*"), 400, RequestChannel, ""},
	{"only a slash", edit("/news", "/"), 400, RequestChannel, ""},
	{"control character", edit("/news", "/news\v"), 400, RequestChannel, ""},
	{"fragment", edit("/news", "/news#x"), 400, RequestChannel, ""},
	{"bad percent", edit("/news", "/%4x"), 400, RequestChannel, ""},
	{"256 bytes", edit("/news", "/"+strings.Repeat("x", 256)), 400, RequestChannel, ""},
	{"not UTF-8", edit("/news", "/%ff"), 400, RequestChannel, ""},
	{"reserved", edit("/news", "/-/x"), 404, RequestReserved, ""},
	{"reserved, encoded", edit("/news", "/%2D%2F"), 404, RequestReserved, ""},
	{"too long", edit("Host: h", "Host: h\r\nX: "+strings.Repeat("x", RequestBytesDefault)), 431, RequestTooLong, ""},
	{"too long by a byte", requestOf(RequestBytesDefault + 1), 431, RequestTooLong, ""},
	{"endless", "GET /" + strings.Repeat("x", 3*RequestBytesDefault), 414, RequestTargetTooLong, ""},
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
		response, reason := h.upgrade(c.request)
		if reason != c.reason {
			t.Errorf("%s: %v, want %v", c.name, reason, c.reason)
		}
		checkRefusal(t, response, reason)
	}
	for _, request := range []string{upgradeRequest("/news"), requestOf(RequestBytesDefault), edit("/news", "ws://h/news?x")} {
		response, reason := h.upgrade(request)
		if reason != reasonNone || string(h.server.gate.shake.channel) != "news" {
			t.Errorf("%.60q: %v %q", request, reason, h.server.gate.shake.channel)
		}
		checkAccept(t, response, "dGhlIHNhbXBsZSBub25jZQ==")
	}
}

// checkRefusal checks that response is one whole HTTP response and nothing more.
func checkRefusal(t *testing.T, response []byte, reason Reason) {
	t.Helper()
	reader := bufio.NewReader(bytes.NewReader(response))
	r, err := http.ReadResponse(reader, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatalf("%v: no response: %v in %q", reason, err, response)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || reader.Buffered() != 0 || int64(len(body)) != r.ContentLength || len(body) < 10 {
		t.Errorf("%v: body %q, %v, %d bytes more", reason, body, err, reader.Buffered())
	}
	if r.StatusCode != reasonTable[reason].status || r.StatusCode < 400 || !r.Close {
		t.Errorf("%v: %s, close %v", reason, r.Status, r.Close)
	}
	if !strings.HasPrefix(r.Status, fmt.Sprint(r.StatusCode, " ")) || len(r.Status) < 6 {
		t.Errorf("%v: status %q has no text", reason, r.Status)
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
		if reason != reasonNone {
			checkRefusal(t, response, reason)
			return
		}
		if !channel.ValidName(h.server.gate.shake.channel) {
			t.Fatalf("%q was upgraded to channel %q", request, h.server.gate.shake.channel)
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

// The answer is made in buffers that the loop reuses: a handshake allocates nothing.
func TestHandshakeAllocatesNothing(t *testing.T) {
	h := newHandshaker()
	for _, request := range []string{upgradeRequest("/news"), requestOf(RequestBytesDefault)} {
		p, s := []byte(request), h.server
		if n := testing.AllocsPerRun(100, func() {
			s.exchange.head.Reset()
			if _, fault := s.exchange.head.Parse(p, RequestBytesDefault); fault != wire.FaultNone || s.gate.judgeUpgrade(&s.exchange.head) != reasonNone {
				t.Fatal("a good request is bad")
			}
			s.gate.shake.response = wire.AppendSwitch(s.gate.shake.response[:0], s.exchange.head.Value(wire.SecWebSocketKey), s.gate.shake.protocol)
		}); n != 0 {
			t.Errorf("a request of %d bytes allocates %v times", len(request), n)
		}
	}
}

func BenchmarkHandshake(b *testing.B) {
	s := newHandshaker().server
	for _, request := range [][]byte{[]byte(upgradeRequest("/news")), []byte(requestOf(1500))} {
		b.Run(fmt.Sprint(len(request)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.exchange.head.Reset()
				if _, fault := s.exchange.head.Parse(request, RequestBytesDefault); fault != wire.FaultNone || s.gate.judgeUpgrade(&s.exchange.head) != reasonNone {
					b.Fatal("a good request is bad")
				}
				s.gate.shake.response = wire.AppendSwitch(s.gate.shake.response[:0], s.exchange.head.Value(wire.SecWebSocketKey), s.gate.shake.protocol)
			}
		})
	}
}

func TestEveryReasonIsWhole(t *testing.T) {
	all := Reasons()
	if len(all) != int(reasons)-1 || slices.Contains(all, reasonNone) {
		t.Errorf("Reasons has %d of %d", len(all), reasons-1)
	}
	silent := []Reason{RequestGone, RequestIdle, RequestsDone, RequestProxyCheck, ClientClosed, ClientGone, ClientReset, WriteDeadline, SlowBytes, SlowAge, SlowTotal, SocketError, Stopped, EpollFull}
	names := make(map[string]Reason)
	var stats Stats
	for _, r := range all {
		info := reasonTable[r]
		if other, taken := names[r.String()]; taken {
			t.Errorf("reasons %d and %d are both %q", r, other, r)
		}
		names[r.String()] = r
		if r.String() != strings.ToLower(r.String()) || strings.ContainsAny(r.String(), " -") {
			t.Errorf("%q is no name for a metric's label", r)
		}
		isRequest := r <= RequestGone
		switch isSilent := slices.Contains(silent, r); {
		case isSilent != (info.status == 0 && info.code == 0):
			t.Errorf("%v: status %d, code %d", r, info.status, info.code)
		case info.status != 0 && (info.code != 0 || !isRequest), info.code != 0 && isRequest:
			t.Errorf("%v is of one phase and speaks for the other: status %d, code %d", r, info.status, info.code)
		case isSilent != (info.text == ""):
			t.Errorf("%v: text %q", r, info.text)
		case info.status != 0:
			checkRefusal(t, refusal(r), r)
		case info.code != 0 && (!wire.ValidCloseCode(info.code) || len(info.text) > 123):
			t.Errorf("%v: close code %d, %d bytes of text", r, info.code, len(info.text))
		}
		if stats.Closes[r].Add(1) != 1 {
			t.Errorf("%v shares its counter", r)
		}
	}
}
