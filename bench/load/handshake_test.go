package load

import (
	"bufio"
	"bytes"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// The library upgrades our request, and we take its answer, cut at every byte.
func TestHandshake(t *testing.T) {
	target := netip.MustParseAddrPort("127.0.0.1:10000")
	request, accept := newRequester(dialects[0], "a b/%d?ü", "a.b.c").appendUpgrade(nil, target, 42, "", [2]uint64{1, 2})
	parsed, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil || parsed.Host != "127.0.0.1:10000" || parsed.URL.Path != "/a b/42?ü" || parsed.URL.RawQuery != "" || parsed.Header.Get("Authorization") != "Bearer a.b.c" {
		t.Fatalf("%v: %+v", err, parsed)
	}
	conversation := struct {
		*bytes.Reader
		*bytes.Buffer
	}{bytes.NewReader(request), &bytes.Buffer{}}
	if _, err := (ws.Upgrader{}).Upgrade(readWriter{conversation.Reader, conversation.Buffer}); err != nil {
		t.Fatal(err)
	}
	response := conversation.Buffer.Bytes()
	for i := range response {
		if a := parseUpgrade(response[:i], 0, accept[:], ""); a.bytes != 0 {
			t.Fatalf("an answer cut after %d of %d bytes is complete: %+v", i, len(response), a)
		}
	}
	a := parseUpgrade(append(response, "\x81\x05hello"...), 0, accept[:], "")
	if a.problem != "" || a.refusal != 0 || a.bytes != len(response) {
		t.Errorf("%+v", a)
	}
}

type readWriter struct {
	*bytes.Reader
	out *bytes.Buffer
}

func (rw readWriter) Write(p []byte) (int, error) { return rw.out.Write(p) }

// The example of RFC 6455 section 1.3 would need its nonce; the accept of ours
// is checked by the library above. Here is what must not be taken.
func TestBadAnswers(t *testing.T) {
	const accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	good := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nconnection: upgrade\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n"
	if a := parseUpgrade([]byte(good), 0, []byte(accept), ""); a.problem != "" || a.refusal != 0 {
		t.Errorf("%+v", a)
	}
	for _, c := range []struct {
		response string
		refusal  int
		problem  string
	}{
		{strings.Replace(good, "s3p", "S3p", 1), 0, "Accept"},
		{strings.Replace(good, "Sec-WebSocket-Accept", "X", 1), 0, "Accept"},
		{strings.Replace(good, "Upgrade: WebSocket", "Upgrade: h2c", 1), 0, "Upgrade: websocket"},
		{strings.Replace(good, "connection: upgrade", "connection: close", 1), 0, "Connection"},
		{strings.Replace(good, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 1), 0, "nobody offered"},
		{"HTTP/1.1 503 Service Unavailable\r\n", 503, ""},
		{"HTTP/1.1 404\r\n", 404, ""},
		{"HTTP/1.0 101 Switching Protocols\r\n\r\n", 0, "not HTTP/1.1"},
		{"-ERR wrong port\r\n", 0, "not HTTP/1.1"},
		{"HTTP/1.1 1x1 Oh\r\n", 0, "not a number"},
		{strings.Repeat("x", responseBytesMax), 0, "longer than 4096 bytes"},
		{"HTTP/1.1 101 Switching Protocols\r\nX: " + strings.Repeat("x", responseBytesMax), 0, "longer than 4096 bytes"},
		{"HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, "Upgrade"},
	} {
		a := parseUpgrade([]byte(c.response), 0, []byte(accept), "")
		if a.bytes == 0 || a.refusal != c.refusal || !strings.Contains(a.problem, c.problem) || (a.problem == "") != (c.problem == "") {
			t.Errorf("%.50q: %+v", c.response, a)
		}
	}
}
