package access

import "bytes"

// TokenProtocol is the subprotocol that says that the next one of the list is a
// token, and that is answered in its place. A browser cannot set headers, but it
// can do this: new WebSocket(url, ["c10m.token", token]).
const TokenProtocol = "c10m.token"

// Credentials are where in a request a token may be. All is lent.
type Credentials struct {
	Authorization  []byte   // the value of the first line
	Authorizations int      // how many there are
	Protocols      [][]byte // the lines of Sec-WebSocket-Protocol
	Query          []byte   // of the target
}

// findToken returns the one token of a request, a part of it (or a copy, if it
// was percent-encoded).
func findToken(c *Credentials, query string) (token []byte, err error) {
	var found finder
	if query != "" {
		found.inQuery(c.Query, query)
	}
	if c.Authorizations > 0 {
		found.bearer(c.Authorization)
	}
	var protocols protocolScan
	for _, line := range c.Protocols {
		protocols.add(line, found.add)
	}
	switch {
	case found.count > 1 || c.Authorizations > 1:
		// Authorization is no list, so a proxy may have looked at another
		// one than we would (RFC 9110, 5.3).
		return nil, ErrTokenPlaces
	case found.count == 0:
		return nil, ErrTokenMissing
	}
	return found.token, nil
}

// A finder counts the tokens that it is shown.
type finder struct {
	token []byte
	count int
}

func (f *finder) add(token []byte) {
	f.token = token
	f.count++
}

// bearer takes the value of an Authorization field. Other schemes than Bearer
// are none of our business: a proxy may have its own.
func (f *finder) bearer(value []byte) {
	scheme, token, _ := bytes.Cut(value, []byte(" "))
	if bytes.EqualFold(scheme, []byte("Bearer")) {
		f.add(bytes.Trim(token, " "))
	}
}

// inQuery looks through a query. Of a parameter that is there twice both count.
func (f *finder) inQuery(query []byte, name string) {
	for parameter := range bytes.SplitSeq(query, []byte("&")) {
		key, value, _ := bytes.Cut(parameter, []byte("="))
		if string(unescape(key)) == name {
			f.add(unescape(value))
		}
	}
}

// unescape decodes percent-encoding. What is not well formed stays as it is,
// and so is no token.
func unescape(p []byte) []byte {
	if bytes.IndexByte(p, '%') < 0 {
		return p
	}
	decoded := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		if p[i] == '%' && i+2 < len(p) {
			high, low := hexDigit(p[i+1]), hexDigit(p[i+2])
			if high < 16 && low < 16 {
				decoded = append(decoded, high<<4|low)
				i += 2
				continue
			}
		}
		decoded = append(decoded, p[i])
	}
	return decoded
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// A protocolScan goes over a list of subprotocols, which may be spread over
// several fields (RFC 6455, 11.3.4).
type protocolScan struct {
	next bool // the next one is a token
}

func (s *protocolScan) add(value []byte, token func([]byte)) {
	for element := range bytes.SplitSeq(value, []byte(",")) {
		element = bytes.Trim(element, " \t")
		switch {
		case len(element) == 0: // RFC 9110, 5.6.1.2: of no account
		case s.next:
			token(element)
			s.next = false
		case string(element) == TokenProtocol:
			s.next = true
		}
	}
}
