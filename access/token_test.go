package access

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func at(seconds int64) int64 { return testNow.Unix() + seconds }

func TestTokensOfEachAlgorithm(t *testing.T) {
	for _, name := range allAlgorithms {
		for _, keys := range [][]string{{name}, allAlgorithms} {
			tokens := newTokens(t, TokenConfig{}, keys...)
			token := testSigners()[name].sign(object{"exp": at(60), "subscribe": []string{"x", "news"}, "publish": "n*"}, nil)
			grant, err := tokens.Judge(bearer(token), []byte("news"))
			want := Grant{
				Lifetime: 60*time.Second + tokenLeeway - 300*time.Millisecond, Publish: true,
				Patterns: Patterns{Subscribe: []string{"x", "news"}, Publish: []string{"n*"}},
			}
			if err != nil || !reflect.DeepEqual(grant, want) {
				t.Errorf("%s with keys %v: %+v, %v", name, keys, grant, err)
			}
			if _, err := tokens.Judge(bearer(tamper(token)), []byte("news")); err != ErrTokenInvalid {
				t.Errorf("%s, tampered with: %v", name, err)
			}
		}
		for _, other := range allAlgorithms {
			if other == name {
				continue
			}
			token := testSigners()[name].sign(object{"subscribe": "news"}, nil)
			if _, err := newTokens(t, TokenConfig{}, other).Judge(bearer(token), []byte("news")); err != ErrTokenInvalid {
				t.Errorf("%s with a key for %s: %v", name, other, err)
			}
		}
	}
}

// tamper changes what the token says and keeps its signature.
func tamper(token string) string {
	parts := strings.Split(token, ".")
	payload := must(base64.RawURLEncoding.DecodeString(parts[1]))
	payload = []byte(strings.Replace(string(payload), `"news"`, `"nevs"`, 1))
	parts[1] = base64.RawURLEncoding.EncodeToString(payload)
	return strings.Join(parts, ".")
}

// A token may be used with the algorithm of the key only (RFC 8725, 2.1, has
// the attacks).
func TestAlgorithmConfusion(t *testing.T) {
	signers := testSigners()
	good := object{"subscribe": "news"}
	for _, public := range []string{"RS256", "ES256", "EdDSA"} {
		pem := signers[public].file
		for _, secret := range [][]byte{pem, pem[:len(pem)-1]} {
			forged := (&signer{method: jwt.SigningMethodHS256, private: secret}).sign(good, nil)
			for _, keys := range [][]string{{public}, {public, "HS256"}} {
				if _, err := newTokens(t, TokenConfig{}, keys...).Judge(bearer(forged), []byte("news")); err != ErrTokenInvalid {
					t.Errorf("HS256 with the public key of %s as its secret: %v", public, err)
				}
			}
		}
	}
	tokens := newTokens(t, TokenConfig{}, allAlgorithms...)
	none := must(jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims(good)).SignedString(jwt.UnsafeAllowNoneSignatureType))
	signed := signers["HS256"].sign(good, nil)
	unsigned := signed[:strings.LastIndexByte(signed, '.')+1]
	for what, token := range map[string]string{
		"none":                        none,
		"NONE":                        header(`{"alg":"NONE"}`, signed),
		"no alg":                      header(`{"typ":"JWT"}`, signed),
		"none with a signature":       header(`{"alg":"none"}`, signed),
		"no signature":                unsigned,
		"HS512 with the same secret":  (&signer{method: jwt.SigningMethodHS512, private: signers["HS256"].private}).sign(good, nil),
		"PS256 with the key of RS256": (&signer{method: jwt.SigningMethodPS256, private: signers["RS256"].private}).sign(good, nil),
		"RS512 with the key of RS256": (&signer{method: jwt.SigningMethodRS512, private: signers["RS256"].private}).sign(good, nil),
		"alg of another type":         header(`{"alg":["HS256"]}`, signed),
	} {
		if _, err := tokens.Judge(bearer(token), []byte("news")); err != ErrTokenInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Somebody else's key, brought along in the header.
	for name, value := range map[string]any{"jku": "https://h/keys", "crit": []string{"exp"}} {
		_, err := tokens.Judge(bearer(signers["HS256"].sign(good, object{name: value})), []byte("news"))
		if wantErr := name == "crit"; wantErr != (err != nil) {
			t.Errorf("header with %s: %v", name, err)
		}
	}
}

// header replaces a token's header.
func header(json, token string) string {
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(json)) + "." + rest
}

func TestClaims(t *testing.T) {
	leeway := int64(tokenLeeway / time.Second)
	for _, c := range []struct {
		claims string // after "subscribe"
		err    error
	}{
		{`"exp":%d`, nil},
		{`"exp":` + fmt.Sprint(at(0)), nil},
		{`"exp":` + fmt.Sprint(at(1-leeway)), nil},
		{`"exp":` + fmt.Sprint(at(-leeway)), ErrTokenExpired}, // it is 0.3 s later
		{`"exp":` + fmt.Sprint(at(-3600)), ErrTokenExpired},
		{`"exp":0`, ErrTokenExpired},
		{`"exp":-1e18`, ErrTokenExpired},
		{`"exp":1e30`, ErrTokenInvalid}, // would overflow
		{`"exp":"` + fmt.Sprint(at(60)) + `"`, ErrTokenInvalid},
		{`"exp":` + fmt.Sprint(at(60)) + `.75`, nil},
		{`"nbf":` + fmt.Sprint(at(leeway)), nil},
		{`"nbf":` + fmt.Sprint(at(leeway+1)), ErrTokenEarly},
		{`"nbf":` + fmt.Sprint(at(3600)), ErrTokenEarly},
		{`"nbf":1e18`, ErrTokenEarly},
		{`"nbf":1e30`, ErrTokenInvalid},
		{`"nbf":true`, ErrTokenInvalid},
		{`"iat":` + fmt.Sprint(at(3600)), nil}, // RFC 7519, 4.1.6: it is no limit
		{`"iat":null`, nil},
		{`"iat":"soon"`, nil},
		{`"exp":null`, ErrTokenInvalid}, // or it would never end
		{`"exp":[]`, ErrTokenInvalid},
		{`"exp":{}`, ErrTokenInvalid},
		{`"exp":false`, ErrTokenInvalid},
		{`"exp":1e400`, ErrTokenInvalid},
		{`"exp":-1e400`, ErrTokenInvalid},
		{`"exp":` + strings.Repeat("9", 400), ErrTokenInvalid},
		{`"exp":1e18`, nil},
		{`"exp":` + fmt.Sprint(at(-leeway)) + `.2`, ErrTokenExpired},
		{`"exp":` + fmt.Sprint(at(-leeway)) + `.4`, nil}, // it is 0.1 s to go
		{`"exp":1.8000000001e9`, nil},
		{`"nbf":null`, ErrTokenInvalid},
		{`"nbf":"0"`, ErrTokenInvalid},
		{`"nbf":` + fmt.Sprint(at(leeway)) + `.2`, nil},
		{`"nbf":` + fmt.Sprint(at(leeway)) + `.4`, ErrTokenEarly},
		{`"nbf":-0.5`, nil},
		{`"nbf":0,"nbf":0`, ErrTokenInvalid},
		{`"aud":null`, ErrTokenInvalid},
		{`"aud":["us",null]`, ErrTokenInvalid},
		{`"aud":{"us":1}`, ErrTokenInvalid},
		{`"publish":null`, ErrTokenInvalid},
		{`"publish":[null]`, ErrTokenInvalid},
		{`"publish":{}`, ErrTokenInvalid},
		{`"publish":[["a"]]`, ErrTokenInvalid},
		{`"publish":"a","publish":"b"`, ErrTokenInvalid},
		{`"subscribe":"news"`, ErrTokenInvalid}, // twice
		{`"sub":null,"iss":7,"jti":[]`, nil},    // not for us
		{`"aud":"us"`, nil},
		{`"aud":["them","us"]`, nil},
		{`"aud":"them"`, ErrTokenAudience},
		{`"aud":["us "]`, ErrTokenAudience},
		{`"aud":[]`, ErrTokenAudience},
		{`"aud":7`, ErrTokenInvalid},
		{`"aud":"us","Exp":0,"EXP":0`, nil}, // names of claims are case-sensitive
		{`"aud":"us","SUBSCRIBE":"x"`, nil},
		{`"aud":"us","exp":1,"exp":` + fmt.Sprint(at(60)), ErrTokenInvalid}, // RFC 7519, 4
		{`"iss":"whoever","sub":"7","jti":"1","more":{"a":[1]}`, nil},
	} {
		audience := ""
		if !strings.Contains(c.claims, "aud") {
			audience = `,"aud":"us"`
		}
		body := fmt.Sprintf(`{"subscribe":"news",%s%s}`, strings.ReplaceAll(c.claims, "%d", fmt.Sprint(at(60))), audience)
		token := testSigners()["HS256"].sign(raw(body), nil)
		if _, err := newTokens(t, TokenConfig{Audiences: []string{"us", "also us"}}, "HS256").Judge(bearer(token), []byte("news")); err != c.err {
			t.Errorf("%s: %v, want %v", body, err, c.err)
		}
	}
	for _, body := range []string{"null", "[]", `"x"`, "7", "{", ""} {
		token := testSigners()["HS256"].sign(object{}, nil)
		parts := strings.Split(token, ".")
		text := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(body))
		signature := must(jwt.SigningMethodHS256.Sign(text, testSigners()["HS256"].private))
		token = text + "." + base64.RawURLEncoding.EncodeToString(signature)
		if grant, err := newTokens(t, TokenConfig{}, "HS256").Judge(bearer(token), []byte("news")); err == nil || !reflect.DeepEqual(grant, Grant{}) {
			t.Errorf("payload %q: %+v %v", body, grant, err)
		}
	}
	// Without --token-audience, nobody asks.
	token := testSigners()["HS256"].sign(object{"subscribe": "news", "aud": "them"}, nil)
	if _, err := newTokens(t, TokenConfig{}, "HS256").Judge(bearer(token), []byte("news")); err != nil {
		t.Errorf("no audience is asked for: %v", err)
	}
}

func TestChannelsOfATokens(t *testing.T) {
	tokens := newTokens(t, TokenConfig{}, "HS256")
	for _, c := range []struct {
		claims  object
		channel string
		err     error
		publish bool
	}{
		{object{"subscribe": "news"}, "news", nil, false},
		{object{"subscribe": "news"}, "newsx", ErrTokenChannel, false},
		{object{"subscribe": "News"}, "news", ErrTokenChannel, false},
		{object{"subscribe": []string{"a", "b"}}, "b", nil, false},
		{object{"subscribe": []string{"a", "b"}}, "c", ErrTokenChannel, false},
		{object{"subscribe": []string{}}, "c", ErrTokenChannel, false},
		{object{"subscribe": ""}, "c", ErrTokenChannel, false},
		{object{}, "c", ErrTokenChannel, false},
		{object{"publish": "*"}, "c", ErrTokenChannel, false}, // may write and not read: not with a subscription
		{object{"subscribe": "*"}, "any/thing", nil, false},
		{object{"subscribe": "user/7/*"}, "user/7/mail", nil, false},
		{object{"subscribe": "user/7/*"}, "user/8/mail", ErrTokenChannel, false},
		{object{"subscribe": "user/[0-9]"}, "user/3", nil, false},
		{object{"subscribe": `a\*`}, "a*", nil, false},
		{object{"subscribe": `a\*`}, "ab", ErrTokenChannel, false},
		{object{"subscribe": "é*"}, "éa", nil, false},
		{object{"subscribe": "*", "publish": "a*"}, "abc", nil, true},
		{object{"subscribe": "*", "publish": "a*"}, "bc", nil, false},
		{object{"subscribe": "*", "publish": []string{"x", "bc"}}, "bc", nil, true},
		{object{"subscribe": 7}, "7", ErrTokenInvalid, false},
		{object{"subscribe": []any{"a", 7}}, "a", ErrTokenInvalid, false},
		{object{"subscribe": "*", "publish": true}, "a", ErrTokenInvalid, false},
		{object{"subscribe": nil}, "a", ErrTokenInvalid, false},
	} {
		grant, err := tokens.Judge(bearer(testSigners()["HS256"].sign(c.claims, nil)), []byte(c.channel))
		if err != c.err || grant.Publish != c.publish || grant.Lifetime != 0 {
			t.Errorf("%v on %q: %+v %v", c.claims, c.channel, grant, err)
		}
	}
}

// No exp is so far away, and none so near, that the time until it would turn
// into another.
func TestLifetime(t *testing.T) {
	for _, c := range []struct {
		expiry int64
		want   time.Duration
	}{
		{at(0), tokenLeeway - 300*time.Millisecond},
		{at(1 - int64(tokenLeeway/time.Second)), 700 * time.Millisecond},
		{at(-int64(tokenLeeway / time.Second)), 1},
		{at(100 * 24 * 3600), 100*24*time.Hour + tokenLeeway - 300*time.Millisecond},
		{at(200 * 365 * 24 * 3600), 200*365*24*time.Hour + tokenLeeway - 300*time.Millisecond},
		{at(300 * 365 * 24 * 3600), math.MaxInt64},
		{1<<62 - 1, math.MaxInt64},
	} {
		expiry := time.Unix(c.expiry, 0)
		if got := (&claims{expiry: &expiry}).lifetime(testNow); got != c.want {
			t.Errorf("exp in %d s: %v, want %v", c.expiry-testNow.Unix(), got, c.want)
		}
	}
}

func TestKeyIDs(t *testing.T) {
	set := writeFile(t, "jwks", testSet("a", "b"))
	pem := writeFile(t, "ed", testSigners()["EdDSA"].file)
	both := newTokens(t, TokenConfig{KeyFiles: []string{pem}, JWKSFile: set})
	alone := newTokens(t, TokenConfig{JWKSFile: set})
	for _, c := range []struct {
		signer string // of the set: which of its keys
		kid    any    // nil is none
		tokens *Tokens
		err    error
	}{
		{"a", "a", alone, nil}, {"b", "b", alone, nil}, {"a", "b", alone, ErrTokenInvalid},
		{"a", "unknown", alone, ErrTokenInvalid}, {"a", nil, alone, nil}, {"a", "", alone, nil}, {"a", 7, alone, ErrTokenInvalid},
		// Keys from PEM have no ID, so any will do.
		{"EdDSA", "whatever", both, nil}, {"EdDSA", nil, both, nil}, {"EdDSA", "a", both, nil},
		{"EdDSA", "a", alone, ErrTokenInvalid}, {"a", "a", both, nil}, {"a", "unknown", both, ErrTokenInvalid},
	} {
		head := object{}
		if c.kid != nil {
			head["kid"] = c.kid
		}
		s := testSigners()["EdDSA"]
		if c.signer != "EdDSA" {
			s = setSigner(c.signer)
		}
		if _, err := c.tokens.Judge(bearer(s.sign(object{"subscribe": "*"}, head)), []byte("news")); err != c.err {
			t.Errorf("signed by %s, kid %v: %v", c.signer, c.kid, err)
		}
	}
}
