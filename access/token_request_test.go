package access

import (
	"bytes"
	"strings"
	"testing"
)

func TestWhereTokensAre(t *testing.T) {
	for _, c := range []struct {
		query string
		what  *Credentials
		token string
		err   error
	}{
		{"", request("/news"), "", ErrTokenMissing},
		{"", request("/news", "Authorization: Bearer a.b.c"), "a.b.c", nil},
		{"", request("/news", "authorization:bEARER   a.b.c  "), "a.b.c", nil},
		{"", request("/news", "Authorization: Basic YTpi"), "", ErrTokenMissing},
		{"", request("/news", "Authorization: a.b.c"), "", ErrTokenMissing},
		{"", request("/news", "Authorization:"), "", ErrTokenMissing},
		{"", request("/news", "Authorization: Bearer"), "", nil}, // which is no good token
		{"", request("/news", "Authorization: Bearer a b"), "a b", nil},
		{"", request("/news", "Proxy-Authorization: Bearer a.b.c", "X-Authorization: Bearer a.b.c"), "", ErrTokenMissing},
		{"", request("/news", "Authorization: Bearer a.b.c", "Authorization: Bearer a.b.c"), "", ErrTokenPlaces},
		{"", request("/news", "Authorization: Bearer a.b.c", "Host2: x", "AUTHORIZATION: Basic YTpi"), "", ErrTokenPlaces},
		{"", request("/news", "Sec-WebSocket-Protocol: c10m.token, a.b.c"), "a.b.c", nil},
		{"", request("/news", "sec-websocket-protocol: mqtt ,c10m.token\t,,a.b.c, soap"), "a.b.c", nil},
		{"", request("/news", "Sec-WebSocket-Protocol: c10m.token", "Sec-WebSocket-Protocol: a.b.c"), "a.b.c", nil},
		{"", request("/news", "Sec-WebSocket-Protocol: c10m.token"), "", ErrTokenMissing},
		{"", request("/news", "Sec-WebSocket-Protocol: a.b.c, c10m.token"), "", ErrTokenMissing},
		{"", request("/news", "Sec-WebSocket-Protocol: C10M.token, a.b.c"), "", ErrTokenMissing},
		{"", request("/news", "Sec-WebSocket-Protocol: c10m.token, a.b.c, c10m.token, a.b.c"), "", ErrTokenPlaces},
		{"", request("/news", "Sec-WebSocket-Protocol: c10m.token, a.b.c", "Authorization: Bearer a.b.c"), "", ErrTokenPlaces},
		{"", request("/news?token=a.b.c"), "", ErrTokenMissing},
		{"token", request("/news?token=a.b.c"), "a.b.c", nil},
		{"token", request("http://h/news?x=1&token=a.b.c&y"), "a.b.c", nil},
		{"token", request("/news?tok%65n=a%2eb%2Ec"), "a.b.c", nil},
		{"token", request("/news?token=a%2eb%2Ec%"), "a%2eb%2Ec%", nil}, // nor is this
		{"token", request("/news?token"), "", nil},
		{"token", request("/news?token="), "", nil},
		{"token", request("/news?Token=a.b.c&tokens=a&x=token"), "", ErrTokenMissing},
		{"token", request("/token=a.b.c"), "", ErrTokenMissing},
		{"token", request("/news?a?token=x"), "", ErrTokenMissing},
		{"token", request("/news?token=a.b.c&token=a.b.c"), "", ErrTokenPlaces},
		{"token", request("/news?token=a.b.c", "Authorization: Bearer a.b.c"), "", ErrTokenPlaces},
		{"token", request("/news", "Referer: http://h/?token=a.b.c"), "", ErrTokenMissing},
	} {
		token, err := findToken(c.what, c.query)
		if err != c.err || string(token) != c.token {
			t.Errorf("%+v with query %q: %q %v, want %q %v", c.what, c.query, token, err, c.token, c.err)
		}
	}
}

// What is answered never is the token, whatever the order.
func TestSelectProtocol(t *testing.T) {
	for value, want := range map[string]string{
		"c10m.token, a.b.c": TokenProtocol, "a.b.c,\tc10m.token": TokenProtocol, "c10m.token": TokenProtocol,
		"": "", "mqtt": "", "c10m.tokens, a.b.c": "", ",": "", "c10m.token a.b.c": "",
		"c10m.v1": "c10m.v1", "c10m.token, a.b.c, c10m.v1": "c10m.v1", "mqtt,c10m.v1 , c10m.token, a.b.c": "c10m.v1",
		// What follows c10m.token is a token, whatever it looks like.
		"c10m.token, a|c10m.v1": "c10m.v1", "c10m.token|c10m.v1": TokenProtocol, "mqtt||c10m.v1": "c10m.v1", "c10m.v1|c10m.token, a": "c10m.v1",
		"c10m.token, c10m.v1": TokenProtocol, "c10m.token, , c10m.v1": TokenProtocol, "c10m.token, c10m.token, c10m.v1": "c10m.v1",
	} {
		if got := SelectProtocol(linesOf(value), []string{"c10m.v1"}); got != want {
			t.Errorf("%q: %q", value, got)
		}
	}
}

// linesOf are lines that | separates.
func linesOf(text string) [][]byte { return bytes.Split([]byte(text), []byte("|")) }

// Things in the place of a token are refused, and by the limit before they cost
// anything.
func TestThingsThatAreNoTokens(t *testing.T) {
	tokens := newTokens(t, TokenConfig{Query: "token"}, allAlgorithms...)
	good := testSigners()["HS256"].sign(object{"subscribe": "*"}, nil)
	huge := testSigners()["HS256"].sign(object{"subscribe": "*", "x": strings.Repeat("x", TokenBytesMax)}, nil)
	large := testSigners()["HS256"].sign(object{"subscribe": "*", "x": strings.Repeat("x", 2500)}, nil)
	parts := strings.Split(good, ".")
	for _, token := range []string{
		"", ".", "..", "...", "a.b.c", good + ".", good + ".x", "." + good, good[:len(good)-1], parts[0] + "." + parts[1],
		parts[1] + "." + parts[0] + "." + parts[2], good + "=", strings.Replace(good, ".", "%0A.", 1), strings.Replace(good, ".", ".%0D%0A", 1),
		strings.Replace(good, ".", "+.", 1), "%" + good, huge, strings.Repeat("a", 3000), strings.Repeat(".", 3000), strings.Repeat("e30.", 900),
		`{"payload":"","signatures":[]}`,
	} {
		if _, err := tokens.Judge(request("/news?token="+token), []byte("news")); err != ErrTokenInvalid {
			t.Errorf("%.60q: %v", token, err)
		}
	}
	if _, err := tokens.Judge(bearer(large), []byte("news")); err != nil || len(large) < 3000 {
		t.Errorf("a token of %d bytes: %v", len(large), err)
	}
}
