package conn

import (
	"bytes"
	"math"
)

// A request is the complete head of an HTTP request (RFC 9112), as slices of it:
// nothing is copied, and all is lent for as long as the head is.
type request struct {
	head   []byte // up to its empty line, included
	method []byte
	target []byte

	// What of the fields everybody asks for.
	accept      []byte
	hosts       int
	length      int64 // of the body; -1: it has no Content-Length
	isChunked   bool  // or otherwise coded: its length is not known
	isLast      bool  // Connection: close
	isUpgrade   bool  // Upgrade: websocket
	isExpecting bool  // Expect: 100-continue
	isEncoded   bool  // Content-Encoding, and not identity

	// bad is why it is refused, if it is one of ours and not an upgrade's, whose
	// judge is the handshaker.
	bad Reason
}

// A route is who answers a request.
type route uint8

const (
	routeUpgrade   route = iota // the handshaker: a WebSocket, or an error as ever
	routeEvents                 // GET with Accept: text/event-stream
	routePoll                   // GET with ?wait=
	routePublish                // POST
	routePreflight              // OPTIONS
	routePage                   // GET or HEAD of a path that is the server's own
	routeHead                   // HEAD of any other
)

// parseRequest takes a head apart that ends in an empty line and whose first
// line is plausible.
func parseRequest(head []byte) (r request) {
	r = request{head: head, length: -1}
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	var version []byte
	r.method, line, _ = bytes.Cut(line, []byte(" "))
	r.target, version, _ = bytes.Cut(line, []byte(" "))
	if string(version) != "HTTP/1.1" {
		r.spoil(RequestVersion)
	}
	for len(fields) > 2 {
		end := bytes.IndexByte(fields, '\n')
		if end < 1 || fields[end-1] != '\r' {
			r.spoil(RequestMalformed)
			break
		}
		r.parseField(fields[:end-1])
		fields = fields[end+1:]
	}
	switch r.hosts {
	case 0:
		r.spoil(RequestHost)
	case 1:
	default:
		r.spoil(RequestMalformed) // a proxy may have routed by another (RFC 9112, 3.2)
	}
	return r
}

// spoil notes why the request is bad; the first reason is the one.
func (r *request) spoil(reason Reason) {
	if r.bad == reasonNone {
		r.bad = reason
	}
}

// parseField takes one line. What could have another meaning to a proxy in front
// is refused: names that are no tokens, with blanks before the colon for one, folded
// lines, bare CR and NUL (RFC 9112, 5.1, 5.2, 2.2; RFC 9110, 5.1, 5.5).
func (r *request) parseField(line []byte) {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !isToken(line[:colon]) || bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, 0) >= 0 {
		r.spoil(RequestMalformed)
		return
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	switch len(name) {
	case len("Host"):
		if isField(name, "Host") {
			r.hosts++
		}
	case len("Accept"):
		switch {
		case isField(name, "Accept"):
			r.accept = value
		case isField(name, "Expect"):
			r.isExpecting = bytes.EqualFold(value, []byte("100-continue"))
		}
	case len("Upgrade"):
		if isField(name, "Upgrade") {
			r.isUpgrade = r.isUpgrade || hasToken(value, "websocket")
		}
	case len("Connection"):
		if isField(name, "Connection") {
			r.isLast = r.isLast || hasToken(value, "close")
		}
	case len("Content-Length"):
		if isField(name, "Content-Length") {
			r.parseLength(value)
		}
	case len("Content-Encoding"):
		if isField(name, "Content-Encoding") {
			r.isEncoded = !bytes.EqualFold(value, []byte("identity"))
		}
	case len("Transfer-Encoding"):
		if isField(name, "Transfer-Encoding") {
			r.isChunked = true
		}
	}
}

// parseLength takes a Content-Length. Of two, or of a list, nobody knows which
// one others went by (RFC 9112, 6.3): such a request is refused.
func (r *request) parseLength(value []byte) {
	if r.length >= 0 || len(value) == 0 {
		r.spoil(RequestMalformed)
		return
	}
	r.length = 0
	for _, c := range value {
		if c < '0' || c > '9' {
			r.spoil(RequestMalformed)
			return
		}
		if r.length > (math.MaxInt64-9)/10 {
			r.length = math.MaxInt64 // longer than anything that is taken
			return
		}
		r.length = 10*r.length + int64(c-'0')
	}
}

// isToken reports whether a name has only the characters of one (RFC 9110, 5.6.2).
func isToken(name []byte) bool {
	for _, c := range name {
		if !isTokenByte[c] {
			return false
		}
	}
	return true
}

var isTokenByte = func() (is [256]bool) {
	for _, b := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") {
		is[b] = true
	}
	return is
}()

// isField compares a field's name, of this length already, with one of ours.
func isField(name []byte, ours string) bool {
	for i, c := range name {
		if c != ours[i] && (c|0x20 != ours[i]|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// field returns the first value of a field, blanks around it cut off, and how
// many there are.
func (r *request) field(name string) (value []byte, count int) {
	_, fields, _ := bytes.Cut(r.head, []byte("\r\n"))
	for line := range bytes.Lines(fields) {
		colon := bytes.IndexByte(line, ':')
		if colon == len(name) && isField(line[:colon], name) {
			if count++; count == 1 {
				value = bytes.Trim(line[colon+1:], " \t\r\n")
			}
		}
	}
	return value, count
}

// query returns the first value of a query parameter, as it was sent.
func (r *request) query(name string) (value []byte, isThere bool) {
	_, rest, _ := bytes.Cut(r.target, []byte("?"))
	for len(rest) > 0 {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		key, value, _ := bytes.Cut(pair, []byte("="))
		if string(key) == name {
			return value, true
		}
	}
	return nil, false
}

// hasToken reports whether a comma-separated list has a token, parameters of it
// left aside.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte(","))
		item, _, _ = bytes.Cut(item, []byte(";"))
		if item = bytes.Trim(item, " \t"); len(item) == len(token) && isField(item, token) {
			return true
		}
	}
	return false
}

// route says who answers a request. Whatever is not recognised is the
// handshaker's, which has an error for it.
func (r *request) route() route {
	switch string(r.method) {
	case "POST":
		return routePublish
	case "OPTIONS":
		return routePreflight
	case "HEAD":
		if r.isOwn() {
			return routePage
		}
		return routeHead
	case "GET":
		_, isPoll := r.query("wait")
		switch {
		case r.isUpgrade:
		case r.isOwn():
			return routePage
		case hasToken(r.accept, "text/event-stream"):
			return routeEvents
		case isPoll:
			return routePoll
		}
	}
	return routeUpgrade
}

// isHead reports whether a request, or what there is of it, asks with HEAD: then no
// answer to it has a body.
func isHead(request []byte) bool { return bytes.HasPrefix(request, []byte("HEAD ")) }

// isOwn reports whether the path is one of the server's own.
func (r *request) isOwn() bool { return bytes.HasPrefix(r.target, []byte("/-/")) }

// path is the target without its query.
func (r *request) path() []byte {
	path, _, _ := bytes.Cut(r.target, []byte("?"))
	return path
}

// hasBody reports whether a body follows, or may follow.
func (r *request) hasBody() bool { return r.length > 0 || r.isChunked }
