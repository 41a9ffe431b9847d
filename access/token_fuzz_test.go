package access

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// oracle judges a token with the other library. It knows which of our keys
// signed it, and what it says.
type oracle struct {
	Exp, Nbf  *float64
	Aud       any
	Subscribe any
	Publish   any
}

// signedBy is how many of the keys signed token, each with its own algorithm.
func signedBy(token string) (count int, payload []byte) {
	parser := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithValidMethods(allAlgorithms))
	for _, name := range allAlgorithms {
		parsed, err := parser.Parse(token, func(parsed *jwt.Token) (any, error) {
			if parsed.Method != testSigners()[name].method {
				return nil, jwt.ErrTokenUnverifiable
			}
			return testSigners()[name].public, nil
		})
		if err == nil && parsed.Valid {
			count++
			payload, _ = base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		}
	}
	return count, payload
}

// within reports whether what a token says is in range now. It is the plain
// reading of RFC 7519, 4.1.
func within(payload []byte, channel string) bool {
	var members map[string]json.RawMessage
	var o oracle
	if json.Unmarshal(payload, &members) != nil || members == nil {
		return false
	}
	for name, to := range map[string]any{"exp": &o.Exp, "nbf": &o.Nbf, "aud": &o.Aud, "subscribe": &o.Subscribe, "publish": &o.Publish} {
		if value, ok := members[name]; ok && (json.Unmarshal(value, to) != nil || string(value) == "null") {
			return false
		}
	}
	now, leeway := float64(testNow.UnixNano())/1e9, tokenLeeway.Seconds()
	inTime := (o.Exp == nil || now < *o.Exp+leeway+1) && (o.Nbf == nil || now >= *o.Nbf-leeway-1)
	return inTime && has(o.Aud, "us") && (has(o.Subscribe, channel) || has(o.Subscribe, "*"))
}

func has(list any, text string) bool {
	switch list := list.(type) {
	case string:
		return list == text
	case []any:
		for _, element := range list {
			if element == text {
				return true
			}
		}
	}
	return false
}

// FuzzToken has any token judged by both libraries: ours accepts only what
// exactly one of the keys signed, with the algorithm of that key, and what is in
// range. The payload is also signed as it stands, so that the fuzzer gets past
// the signature: sign chooses the key, or none.
func FuzzToken(f *testing.F) {
	for i, claims := range []any{
		object{"exp": at(60), "nbf": at(0), "aud": "us", "subscribe": "news"},
		object{"exp": at(60), "aud": []string{"us"}, "subscribe": []string{"news", "x"}, "publish": "*"},
		object{"exp": at(-60), "aud": "us", "subscribe": "*"},
		object{"nbf": at(60), "aud": "us", "subscribe": "*"},
		object{"subscribe": "*"}, raw("null"), raw(`{"aud":"us","subscribe":"*","exp":1e400}`), raw(`{"aud":"us","aud":"us","subscribe":"*"}`),
	} {
		payload := must(json.Marshal(claims))
		f.Add("", `{"alg":"HS256"}`, payload, uint8(i))
		f.Add("", `{"alg":"RS256","typ":"JWT","kid":"x"}`, payload, uint8(1))
		f.Add("", `{"alg":"none"}`, payload, uint8(i))
	}
	f.Add("a.b.c", "", []byte(nil), uint8(9))
	f.Add("eyJhbGciOiJub25lIn0.e30.", "", []byte(nil), uint8(9))
	tokens := newTokens(f, TokenConfig{Audiences: []string{"us"}}, allAlgorithms...)
	f.Fuzz(func(t *testing.T, token, head string, payload []byte, sign uint8) {
		if int(sign) < len(allAlgorithms) {
			s := testSigners()[allAlgorithms[sign]]
			text := encode([]byte(head)) + "." + encode(payload)
			token = text + "." + encode(must(s.method.Sign(text, s.private)))
		}
		value := []byte("Bearer " + token)
		before := bytes.Clone(value)
		grant, err := tokens.Judge(&Credentials{Authorization: value, Authorizations: 1}, []byte("news"))
		if !bytes.Equal(before, value) {
			t.Fatalf("the request was changed: %q", value)
		}
		if err != nil {
			if !reflect.DeepEqual(grant, Grant{}) {
				t.Fatalf("%v, and yet %+v", err, grant)
			}
			return
		}
		token = strings.Trim(token, " ")
		count, signed := signedBy(token)
		if count != 1 {
			t.Fatalf("%q was accepted, and %d keys signed it", token, count)
		}
		if !within(signed, "news") && !strings.ContainsAny(string(signed), `*?[\`) {
			t.Fatalf("%q was accepted with %q", token, signed)
		}
		if grant.Lifetime < 0 || grant.Lifetime == 0 && bytes.Contains(signed, []byte(`"exp":1`)) && !bytes.Contains(signed, []byte("null")) {
			t.Fatalf("%q lasts for %v", signed, grant.Lifetime)
		}
	})
}

// FuzzTokenPlaces looks for tokens in any request: what is found is in the
// request, and what the server answers is never it.
func FuzzTokenPlaces(f *testing.F) {
	f.Add("token=a.b.c&x=%4", "Bearer a.b.c", "c10m.token, a.b.c|x", uint8(1))
	f.Add("", "", "c10m.token|, c10m.v1", uint8(0))
	f.Fuzz(func(t *testing.T, query, authorization, protocols string, authorizations uint8) {
		c := &Credentials{Authorization: []byte(authorization), Authorizations: int(authorizations), Protocols: linesOf(protocols), Query: []byte(query)}
		token, err := findToken(c, "token")
		if err != nil && token != nil {
			t.Fatalf("%+v: %q and %v", c, token, err)
		}
		if all := query + authorization + protocols; !strings.Contains(all, string(token)) && !strings.Contains(all, "%") {
			t.Fatalf("%+v does not hold %q", c, token)
		}
		if protocol := SelectProtocol(c.Protocols, []string{"c10m.v1"}); protocol != "" && protocol != TokenProtocol && protocol != "c10m.v1" {
			t.Fatalf("%+v: answered with %q", c, protocol)
		}
	})
}
