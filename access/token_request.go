package access

import (
	"bytes"
	"iter"
	"net/url"
	"slices"
)

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
	count := 0
	add := func(found []byte) { token, count = found, count+1 }
	if query != "" {
		for parameter := range bytes.SplitSeq(c.Query, []byte("&")) {
			if key, value, _ := bytes.Cut(parameter, []byte("=")); string(unescape(key)) == query {
				add(unescape(value))
			}
		}
	}
	// Other schemes than Bearer are none of our business: a proxy may have its own.
	if scheme, value, _ := bytes.Cut(c.Authorization, []byte(" ")); c.Authorizations > 0 && bytes.EqualFold(scheme, []byte("Bearer")) {
		add(bytes.Trim(value, " "))
	}
	for element, isToken := range protocols(c.Protocols) {
		if isToken {
			add(element)
		}
	}
	switch {
	case count > 1 || c.Authorizations > 1:
		// Authorization is no list, so a proxy may have looked at another
		// one than we would (RFC 9110, 5.3).
		return nil, ErrTokenPlaces
	case count == 0:
		return nil, ErrTokenMissing
	}
	return token, nil
}

// unescape decodes percent-encoding. What is not well formed stays as it is,
// and so is no token.
func unescape(p []byte) []byte {
	if bytes.IndexByte(p, '%') < 0 {
		return p
	}
	decoded, err := url.PathUnescape(string(p))
	if err != nil {
		return p
	}
	return []byte(decoded)
}

// protocols are the elements of a list of subprotocols, which may be spread over several
// fields (RFC 6455, 11.3.4), and whether each is a token: what follows TokenProtocol.
func protocols(lines [][]byte) iter.Seq2[[]byte, bool] {
	return func(yield func([]byte, bool) bool) {
		isToken := false
		for _, line := range lines {
			for element := range bytes.SplitSeq(line, []byte(",")) {
				if element = bytes.Trim(element, " \t"); len(element) == 0 {
					continue // RFC 9110, 5.6.1.2: of no account
				}
				if !yield(element, isToken) {
					return
				}
				isToken = !isToken && string(element) == TokenProtocol
			}
		}
	}
}

// SelectProtocol chooses what to answer to the lines of Sec-WebSocket-Protocol: the first
// that is known, else TokenProtocol if that is there, else nothing, and never a token,
// whatever the token looks like. It does so without keys as well, since browsers give up
// when none of what they offered is chosen. Who offers rubbish gets no protocol.
func SelectProtocol(lines [][]byte, known []string) (protocol string) {
	for element, isToken := range protocols(lines) {
		if isToken {
			continue
		}
		if string(element) == TokenProtocol {
			protocol = TokenProtocol
		} else if i := slices.Index(known, string(element)); i >= 0 {
			return known[i]
		}
	}
	return protocol
}
