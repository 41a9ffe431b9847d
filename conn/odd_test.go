package conn

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"c10m/access"
	"c10m/conn/pages"
	"c10m/conn/reasons"
	"c10m/poller"
)

// oddRequests are such as lists of request smuggling have, and others that few clients
// send, each with the answer that a rule wants. {U} stands for the fields of an upgrade.
var oddRequests = []struct {
	rule    string
	status  int
	request string
}{
	// The first line: RFC 9112, 2.2, 2.3 and 3.
	{"9112 2.2: an empty line before a request is passed over", 101, "\r\nGET /x HTTP/1.1\r\nHost: h\r\n{U}\r\n"},
	{"9112 2.2: so are several", 426, "\r\n\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 2.2: but no bare line feed", 400, "\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 2.2: nor a bare CR", 400, "\rGET /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 2.2: a blank before the first line", 400, " GET /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 2.2: a line that ends in LF alone", 400, "GET /x HTTP/1.1\nHost: h\r\n\r\n"},
	{"9112 2.2: a field that does", 400, "GET /x HTTP/1.1\r\nHost: h\n\r\n"},
	{"9112 2.2: the empty line that does", 400, "GET /x HTTP/1.1\r\nHost: h\r\n\n\r\n\r\n"},
	{"9112 2.2: CR CR LF", 400, "GET /x HTTP/1.1\r\r\nHost: h\r\n\r\n"},
	{"9112 3: two blanks", 400, "GET  /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3: two blanks before the version", 400, "GET /x  HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3: a tab", 400, "GET\t/x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3: a tab in the target", 400, "GET /x\tHTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3: a blank behind the version", 400, "GET /x HTTP/1.1 \r\nHost: h\r\n\r\n"},
	{"9112 3: two versions", 400, "GET /x HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3: HTTP/0.9", 400, "GET /x\r\n\r\n"},
	{"9112 3: no target", 400, "GET HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3: a vertical tab", 400, "GET /x\vHTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9110 9.1: a method is case-sensitive", 501, "get /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9110 9.1: one that nobody knows", 501, "BREW /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9110 9.1: one that is known and not allowed", 405, "DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9110 9.3.8: TRACE", 405, "TRACE /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9110 9.3.6: CONNECT", 405, "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"},
	{"9112 3: a method that is no token", 400, "G@T /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3: NUL in the method", 400, "G\x00T /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 2.3: lower case", 400, "GET /x http/1.1\r\nHost: h\r\n\r\n"},
	{"9112 2.3: two digits", 400, "GET /x HTTP/1.10\r\nHost: h\r\n\r\n"},
	{"9112 2.3: a leading zero", 400, "GET /x HTTP/01.1\r\nHost: h\r\n\r\n"},
	{"9112 2.3: no minor version", 400, "GET /x HTTP/1\r\nHost: h\r\n\r\n"},
	{"9112 2.3: a sign", 400, "GET /x HTTP/1.-1\r\nHost: h\r\n\r\n"},
	{"9112 2.3: another name", 400, "GET /x HTTPS/1.1\r\nHost: h\r\n\r\n"},
	{"9110 2.5: a higher minor version is 1.1", 101, "GET /x HTTP/1.2\r\nHost: h\r\n{U}\r\n"},
	{"9110 15.6.6: a higher major version", 505, "GET /x HTTP/2.0\r\nHost: h\r\n\r\n"},
	{"9110 15.6.6: a lower one", 505, "GET /x HTTP/0.9\r\nHost: h\r\n\r\n"},
	{"9113 3.4: the preface of HTTP/2", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	{"9110 15.5.15: a target that is too long", 414, "GET /" + strings.Repeat("x", RequestBytesDefault) + " HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"6585 5: fields that are", 431, "GET /x HTTP/1.1\r\nHost: h\r\nCookie: " + strings.Repeat("x", RequestBytesDefault) + "\r\n\r\n"},
	{"6585 5: many fields", 431, "GET /x HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("a:b\r\n", RequestBytesDefault/5) + "\r\n"},

	// The target: RFC 9112, 3.2.
	{"9112 3.2.2: absolute form", 200, "GET http://h/-/c10m.js HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3.2.2: its host counts, not Host", 101, "GET http://other.test:81/x HTTP/1.1\r\nHost: h\r\n{U}\r\n"},
	{"9110 4.2.3: without a path", 200, "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9110 4.2.1: without a host", 400, "GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9110 4.2.4: with userinfo", 400, "GET http://a@h/x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3.2.2: of another scheme", 400, "GET file://h/x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3.2.2: its Host is checked all the same", 400, "GET http://h/x HTTP/1.1\r\nHost: h/\r\n\r\n"},
	{"9112 3.2.3: authority form", 400, "GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3.2.4: the asterisk", 204, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3.2.4: of another method", 400, "GET * HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3.2.1: no slash", 400, "GET x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3.2: a fragment", 400, "GET /x#y HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3.2: DEL", 400, "GET /x\x7f HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 3.2: NUL", 400, "GET /x\x00 HTTP/1.1\r\nHost: h\r\n\r\n"},

	// Host: RFC 9112, 3.2; RFC 9110, 7.2.
	{"9112 3.2: none", 400, "GET /x HTTP/1.1\r\n{U}\r\n"},
	{"9112 3.2: two", 400, "GET /x HTTP/1.1\r\nHost: h\r\nHost: h\r\n{U}\r\n"},
	{"9112 3.2: two that differ in case", 400, "GET /x HTTP/1.1\r\nHost: h\r\nhOST: i\r\n{U}\r\n"},
	{"9112 3.2: a list", 400, "GET /x HTTP/1.1\r\nHost: h, i\r\n{U}\r\n"},
	{"9112 3.2: with userinfo", 400, "GET /x HTTP/1.1\r\nHost: a@h\r\n{U}\r\n"},
	{"9112 3.2: with a path", 400, "GET /x HTTP/1.1\r\nHost: h/x\r\n{U}\r\n"},
	{"9112 3.2: with a scheme", 400, "GET /x HTTP/1.1\r\nHost: http://h\r\n{U}\r\n"},
	{"9112 3.2: with a port that is none", 400, "GET /x HTTP/1.1\r\nHost: h:8o\r\n{U}\r\n"},
	{"9112 3.2: with two", 400, "GET /x HTTP/1.1\r\nHost: h:1:2\r\n{U}\r\n"},
	{"9112 3.2: with a blank", 400, "GET /x HTTP/1.1\r\nHost: h i\r\n{U}\r\n"},
	{"9112 3.2: half an address", 400, "GET /x HTTP/1.1\r\nHost: [::1\r\n{U}\r\n"},
	{"9112 3.2: IPv4 in brackets", 400, "GET /x HTTP/1.1\r\nHost: [1.2.3.4]\r\n{U}\r\n"},
	{"9112 3.2: bytes above ASCII", 400, "GET /x HTTP/1.1\r\nHost: h\xc3\xa9\r\n{U}\r\n"},
	{"9112 3.2: a backslash", 400, "GET /x HTTP/1.1\r\nHost: h\\i\r\n{U}\r\n"},
	{"9110 7.2: empty", 101, "GET /x HTTP/1.1\r\nHost:\r\n{U}\r\n"},
	{"9110 7.2: IPv6", 101, "GET /x HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n{U}\r\n"},
	{"3986 3.2.3: an empty port", 101, "GET /x HTTP/1.1\r\nHost: h:\r\n{U}\r\n"},
	{"9112 3.2: HTTP/1.0 needs none", 426, "GET /x HTTP/1.0\r\n\r\n"},
	{"9112 3.2: but not two", 400, "GET /x HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n"},

	// Fields: RFC 9112, 5; RFC 9110, 5.
	{"9112 5.1: a blank before the colon", 400, "GET /x HTTP/1.1\r\nHost: h\r\nX : y\r\n{U}\r\n"},
	{"9112 5.1: a tab there", 400, "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length\t: 0\r\n{U}\r\n"},
	{"9112 5.2: a folded line", 400, "GET /x HTTP/1.1\r\nHost: h\r\nX: y\r\n z\r\n{U}\r\n"},
	{"9112 5.2: folded by a tab", 400, "GET /x HTTP/1.1\r\nHost: h\r\nX: y\r\n\tz\r\n{U}\r\n"},
	{"9112 2.2: a blank before the first field", 400, "GET /x HTTP/1.1\r\n Host: h\r\n{U}\r\n"},
	{"9110 5.1: no name", 400, "GET /x HTTP/1.1\r\nHost: h\r\n: y\r\n{U}\r\n"},
	{"9112 5: no colon", 400, "GET /x HTTP/1.1\r\nHost: h\r\nrubbish\r\n{U}\r\n"},
	{"9110 5.6.2: a name that is no token", 400, "GET /x HTTP/1.1\r\nHost: h\r\nX@(): y\r\n{U}\r\n"},
	{"9110 5.6.2: in quotes", 400, "GET /x HTTP/1.1\r\nHost: h\r\n\"X\": y\r\n{U}\r\n"},
	{"9110 5.6.2: NUL in it", 400, "GET /x HTTP/1.1\r\nHost: h\r\nX\x00: y\r\n{U}\r\n"},
	{"9110 5.6.2: bytes above ASCII in it", 400, "GET /x HTTP/1.1\r\nHost: h\r\nX\xff: y\r\n{U}\r\n"},
	{"9110 5.5: NUL in a value", 400, "GET /x HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n{U}\r\n"},
	{"9110 5.5: a bare CR", 400, "GET /x HTTP/1.1\r\nHost: h\r\nX: a\rTransfer-Encoding: chunked\r\n{U}\r\n"},
	{"9110 5.5: a bare LF", 400, "GET /x HTTP/1.1\r\nHost: h\r\nX: a\nTransfer-Encoding: chunked\r\n{U}\r\n"},
	{"9110 5.5: another control character", 400, "GET /x HTTP/1.1\r\nHost: h\r\nX: a\x08b\r\n{U}\r\n"},
	{"9110 5.5: bytes above ASCII are opaque", 101, "GET /x HTTP/1.1\r\nHost: h\r\nX: \xff\xc3\xa9\r\n{U}\r\n"},
	{"9110 5.5: a tab", 101, "GET /x HTTP/1.1\r\nHost: h\r\nX:\ta\tb\t\r\n{U}\r\n"},
	{"9112 5.1: no blank, and an empty value", 101, "GET /x HTTP/1.1\r\nHost:h\r\nX:\r\n{U}\r\n"},

	// The length of the body: RFC 9112, 6; RFC 9110, 8.6.
	{"9112 6.3: both lengths", 400, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"9112 6.3: in the other order", 400, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"},
	{"9112 6.3: two lengths", 400, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 3\r\n\r\nabc"},
	{"9112 6.3: a list", 400, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc"},
	{"9110 8.6: a sign", 400, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc"},
	{"9110 8.6: below nothing", 400, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc"},
	{"9110 8.6: hexadecimal", 400, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc"},
	{"9110 8.6: a point", 400, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3.0\r\n\r\nabc"},
	{"9110 8.6: a blank inside", 400, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1 0\r\n\r\nabc"},
	{"9110 8.6: nothing", 400, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nabc"},
	{"9110 8.6: more than 64 bits", 413, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551619\r\n\r\nabc"},
	{"9110 8.6: leading zeros", 200, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0003\r\nConnection: close\r\n\r\nabc"},
	{"9112 6.3: no length", 411, "POST /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	{"9112 6.3: chunks may be refused so", 411, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"9112 6.1: another coding last", 400, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
	{"9112 6.1: no coding at all", 400, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
	{"9112 6.1: a coding in quotes", 400, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"},
	{"9112 6.1: a vertical tab before it", 400, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"},
	{"9112 7.1: chunked twice", 400, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"9112 7.1: chunked with a parameter", 400, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;x=y\r\n\r\n0\r\n\r\n"},
	{"9112 6.1: in HTTP/1.0", 400, "POST /x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"9110 9.3.1: a GET with a body", 400, "GET /x?wait=0 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /"},
	{"9110 9.3.2: a HEAD with one", 400, "HEAD /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"9110 8.4: a coding of the content", 415, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Encoding: identity\r\nContent-Encoding: gzip\r\n\r\nabc"},

	// Upgrades: RFC 6455, 4; RFC 9110, 7.8.
	{"6455 4.1: a body", 400, "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n{U}\r\nabcde"},
	{"6455 4.1: chunks", 400, "GET /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n{U}\r\n0\r\n\r\n"},
	{"9110 8.6: no bytes are no body", 101, "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n{U}\r\n"},
	{"9110 7.8: HTTP/1.0 is not upgraded", 426, "GET /x HTTP/1.0\r\nHost: h\r\n{U}\r\n"},
	{"9110 5.3: Connection in two lines", 101, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n{U}\r\n"},
	{"9110 5.3: in two lines, Upgrade first", 101, "GET /x HTTP/1.1\r\nHost: h\r\n{U}Connection: keep-alive\r\n\r\n"},
	{"9110 7.8: Upgrade of several protocols", 101, "GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: h2c, foo/2\r\n{U}\r\n"},
	{"9110 5.6.1: empty members", 101, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: ,, \r\nUpgrade: ,\r\n{U}\r\n"},
	{"9110 7.8: Upgrade without Connection", 426, "GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"},
	{"6455 11.3.1: two keys", 400, "GET /x HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{U}\r\n"},
	{"6455 11.3.5: two versions", 426, "GET /x HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Version: 13\r\n{U}\r\n"},
	{"6455 4.2.1: another method", 411, "POST /x HTTP/1.1\r\nHost: h\r\n{U}\r\n"},
	{"6455 4.2.1: and HEAD", 426, "HEAD /x HTTP/1.1\r\nHost: h\r\n{U}\r\n"},

	// What a client wants: RFC 9110, 12.5.1.
	{"9110 12.4.2: a weight of nothing", 426, "GET /x HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream;q=0\r\n\r\n"},
	{"9110 5.3: Accept in two lines", 200, "HEAD /x HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\nAccept: text/event-stream\r\n\r\n"},
	{"9110 9.3.2: HEAD as GET", 204, "HEAD /x?wait=0 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"},
	{"9112 9.3: HTTP/1.0 ends", 204, "GET /x?wait=0 HTTP/1.0\r\n\r\n"},
}

func TestOddRequests(t *testing.T) {
	const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	if len(oddRequests) < 100 {
		t.Errorf("only %d", len(oddRequests))
	}
	s, bus := startHTTP(t, func(c *Config) { c.NewPresence = nil })
	for i, c := range oddRequests {
		request := strings.Replace(c.request, "{U}", upgrade, 1)
		cuts := []int{len(request)}
		if i%8 == 0 && len(request) < 300 { // a part at every byte
			for at := 1; at < len(request); at++ {
				cuts = append(cuts, at)
			}
		}
		for _, at := range cuts {
			client := s.connect(t)
			client.send([]byte(request[:at]))
			if at < len(request) {
				s.onLoops(func(*poller.Loop, *Server) {})
				client.Write([]byte(request[at:])) // it may be refused already
			}
			client.CloseWrite()
			method, _, _ := strings.Cut(strings.TrimLeft(request, "\r\n"), " ")
			r, _ := client.reply(method)
			if r.StatusCode != c.status {
				t.Errorf("%s: %q, cut at %d: %s, want %d", c.rule, request, at, r.Status, c.status)
			}
			if _, err := io.Copy(io.Discard, client); err != nil {
				t.Errorf("%s: %v", c.rule, err)
			}
			if isDated := r.Header.Get("Date") != ""; isDated != (c.status != 101) {
				t.Errorf("%s: Date is %q", c.rule, r.Header.Get("Date"))
			}
			client.Close()
		}
	}
	for _, published := range bus.all() {
		if !strings.HasSuffix(fmt.Sprint(published), "abc") {
			t.Errorf("published: %q", published)
		}
	}
	s.checkNothingLeft(t)
	for _, reason := range []reasons.Reason{reasons.RequestNoUpgrade, reasons.RequestWSVersion} { // RFC 9110, 7.8
		if !strings.Contains(string(reason.Refusal()), "\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n") {
			t.Errorf("%v: %q", reason, reason.Refusal())
		}
	}
}

// With a list of origins a page is named in every answer that it may read, and may send
// cookies along; what it asks to send it may (Fetch, 3.3).
func TestPagesAreNamed(t *testing.T) {
	origins, err := access.ParseOrigins([]string{"https://good.test", "https://*.good.test"})
	if err != nil {
		t.Fatal(err)
	}
	s, bus := startHTTP(t, func(c *Config) { c.Access.Origins = origins })
	waiting := s.connect(t)
	for _, origin := range []string{"https://good.test", "https://a.good.test", ""} {
		field, want, credentials := "", "*", ""
		if origin != "" {
			field, want, credentials = "Origin: "+origin+"\r\n", origin, "true"
		}
		ask := func(name, request, method string, status int) {
			t.Helper()
			c := s.connect(t)
			if name == "half a body" {
				at := strings.Index(request, "\r\n\r\n") + 5
				c.send([]byte(request[:at]))
				s.onLoops(func(*poller.Loop, *Server) {})
				request = request[at:]
			}
			c.send([]byte(request))
			if name == "a poll that waits" {
				waitFor(t, "it waits", func() bool { return s.publish(t, "news", "hello") == 1 })
			}
			r, _ := c.reply(method)
			if r.StatusCode != status || r.Header.Get("Access-Control-Allow-Origin") != want || r.Header.Get("Access-Control-Allow-Credentials") != credentials ||
				(credentials != "") != (r.Header.Get("Vary") != "") && name != "preflight" && name != "root" {
				t.Errorf("%s for %q: %s %v", name, origin, r.Status, r.Header)
			}
			if name == "preflight" && r.Header.Get("Access-Control-Allow-Headers") != "cache-control,x-requested-with,traceparent" {
				t.Errorf("the preflight allows %q", r.Header)
			}
			c.Close()
		}
		ask("preflight", "OPTIONS /news HTTP/1.1\r\nHost: h\r\n"+field+"Access-Control-Request-Headers: cache-control,x-requested-with,traceparent\r\n\r\n", "OPTIONS", 204)
		ask("root", "GET / HTTP/1.1\r\nHost: h\r\n"+field+"\r\n", "GET", 200)
		ask("page", "GET /-/c10m.js HTTP/1.1\r\nHost: h\r\n"+field+"\r\n", "GET", 200)
		ask("count", "GET /-/channels/x HTTP/1.1\r\nHost: h\r\n"+field+"\r\n", "GET", 200)
		ask("channel", "GET /news HTTP/1.1\r\nHost: h\r\n"+field+"\r\n", "GET", 426)
		ask("empty poll", "GET /news?wait=0 HTTP/1.1\r\nHost: h\r\n"+field+"\r\n", "GET", 204)
		ask("a poll that waits", "GET /news?wait=60 HTTP/1.1\r\nHost: h\r\n"+field+"\r\n", "GET", 200)
		ask("a poll that waits", "HEAD /news?wait=60 HTTP/1.1\r\nHost: h\r\n"+field+"\r\n", "HEAD", 200)
		ask("post", postRequest("/news", "x", field), "POST", 200)
		ask("half a body", postRequest("/news", "xyz", field), "POST", 200)
		ask("events", "HEAD /news HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n"+field+"\r\n", "HEAD", 200)
	}
	waiting.Close()
	if len(bus.all()) != 6 {
		t.Errorf("published: %q", bus.all())
	}
	s.checkNothingLeft(t)
}

// The page at / says how to connect, as HTML to browsers and as text to programs.
func TestRoot(t *testing.T) {
	s, _ := startHTTP(t, func(c *Config) {
		c.Pages = append(c.Pages, pages.Page{Path: "/-/demo", ContentType: "text/html", Body: []byte("demo")})
	})
	for accept, kind := range map[string]string{"*/*": "text/plain", "text/html,*/*;q=0.8": "text/html", "text/html;q=0": "text/plain"} {
		c := s.connect(t)
		c.send([]byte("GET / HTTP/1.1\r\nHost: h\r\nAccept: " + accept + "\r\n\r\n"))
		r, body := c.reply("GET")
		if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), kind) || r.Header.Get("Vary") != "Accept" {
			t.Errorf("%s: %s %v", accept, r.Status, r.Header)
		}
		for _, way := range []string{"ws://", "c10m.v1", "event-stream", "wait=30", "PUBLISH", "curl -d", "/-/demo", "/-/channels/"} {
			if !strings.Contains(body, way) {
				t.Errorf("%s: nothing of %s in %q", accept, way, body)
			}
		}
		c.Close()
	}
	c := s.connect(t)
	c.send([]byte("GET /news HTTP/1.1\r\nHost: h\r\n\r\n"))
	if _, body := c.reply("GET"); !strings.Contains(body, "event-stream") || !strings.Contains(body, "wait=30") || !strings.Contains(body, "curl -d") {
		t.Errorf("a channel says %q", body)
	}
	c.Close()
	s.checkNothingLeft(t)
}
