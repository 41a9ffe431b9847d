package access

import (
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// claims are those that we look at. Names of the registered ones, and their
// meaning, are RFC 7519's (4.1). A pattern is one of Redis: see internal/glob.
type claims struct {
	expiry, notBefore *time.Time
	audience          []string
	// A token without one of these allows none.
	subscribe, publish []string
}

// parseClaims reads a payload, whose signature is good. A claim of ours that is there
// has to be what it should be: null is not the same as left out (a token with exp:
// null would never end). Names are told apart by case, and one that is there twice is
// an error (RFC 7519, 4); go-jose's JSON sees to both. What we do not look at, iat
// included, may be anything: it is no limit (RFC 7519, 4.1.6).
func parseClaims(payload []byte) (*claims, error) {
	var members map[string]json.RawMessage
	if !utf8.Valid(payload) || json.Unmarshal(payload, &members) != nil || members == nil {
		return nil, ErrTokenInvalid
	}
	c := &claims{}
	for _, date := range []struct {
		name string
		to   **time.Time
	}{{"exp", &c.expiry}, {"nbf", &c.notBefore}} {
		if value, ok := members[date.name]; ok {
			if *date.to, ok = parseDate(string(value)); !ok {
				return nil, ErrTokenInvalid
			}
		}
	}
	for _, list := range []struct {
		name string
		to   *[]string
	}{{"aud", &c.audience}, {"subscribe", &c.subscribe}, {"publish", &c.publish}} {
		if value, ok := members[list.name]; ok {
			if *list.to, ok = parseStrings(value); !ok {
				return nil, ErrTokenInvalid
			}
		}
	}
	return c, nil
}

// dateSecondsMax is far beyond any time that is meant, and far from an overflow.
const dateSecondsMax = 1 << 62

// parseDate takes a JSON number of seconds since 1970, of which there may be parts (RFC
// 7519, 2), and nothing else. time.Time.Sub is 292 years at most, either way.
func parseDate(value string) (*time.Time, bool) {
	if c := value[0]; c != '-' && (c < '0' || c > '9') {
		return nil, false
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || math.Abs(f) >= dateSecondsMax {
		return nil, false
	}
	whole := math.Floor(f)
	date := time.Unix(int64(whole), int64((f-whole)*float64(time.Second)))
	return &date, true
}

// parseStrings takes a string or a list of strings.
func parseStrings(value []byte) (list []string, ok bool) {
	var parsed any
	if json.Unmarshal(value, &parsed) != nil {
		return nil, false
	}
	switch parsed := parsed.(type) {
	case string:
		return []string{parsed}, true
	case []any:
		list = make([]string, len(parsed))
		for i, element := range parsed {
			if list[i], ok = element.(string); !ok {
				return nil, false
			}
		}
		return list, true
	}
	return nil, false
}

// judge says whether a token is good now, for one of these audiences if there are any.
func (c *claims) judge(now time.Time, audiences []string) error {
	if c.notBefore != nil && c.notBefore.Sub(now) > tokenLeeway {
		return ErrTokenEarly
	}
	if c.expiry != nil && c.expiry.Sub(now) <= -tokenLeeway {
		return ErrTokenExpired
	}
	isNamed := func(name string) bool { return slices.Contains(audiences, name) }
	if len(audiences) > 0 && !slices.ContainsFunc(c.audience, isNamed) {
		return ErrTokenAudience
	}
	return nil
}

// lifetime is the time until a token that is not over yet is over, leeway included:
// it is good for its connection for as long as it would be good for a new one. 0 is for
// good.
func (c *claims) lifetime(now time.Time) time.Duration {
	if c.expiry == nil {
		return 0
	}
	left := c.expiry.Sub(now)
	if left > math.MaxInt64-tokenLeeway {
		return math.MaxInt64
	}
	return max(1, left+tokenLeeway)
}
