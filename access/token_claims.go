package access

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// claims are those that we look at. Names of the registered ones, and their
// meaning, are RFC 7519's (4.1). A pattern is one of Redis: see internal/glob.
type claims struct {
	expiry, notBefore *numericDate
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
		to   **numericDate
	}{{"exp", &c.expiry}, {"nbf", &c.notBefore}} {
		if value, ok := members[date.name]; ok {
			if *date.to, ok = parseNumericDate(string(value)); !ok {
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

// A numericDate is a time in seconds since 1970, of which there may be parts (RFC
// 7519, 2).
type numericDate struct{ seconds, nanos int64 }

// dateSecondsMax is far beyond any time that is meant, and far from an overflow.
const dateSecondsMax = 1 << 62

// parseNumericDate takes a JSON number and nothing else.
func parseNumericDate(value string) (*numericDate, bool) {
	if c := value[0]; c != '-' && (c < '0' || c > '9') {
		return nil, false
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || math.Abs(f) >= dateSecondsMax {
		return nil, false
	}
	whole := math.Floor(f)
	return &numericDate{int64(whole), int64((f - whole) * float64(time.Second))}, true
}

// until is the time from now until d, at most as long as a Duration can be: 292 years,
// either way.
func (d *numericDate) until(now time.Time) time.Duration {
	const secondsMax = math.MaxInt64/int64(time.Second) - 1
	seconds := d.seconds - now.Unix() // neither is near an overflow
	switch {
	case seconds > secondsMax:
		return math.MaxInt64
	case seconds < -secondsMax:
		return math.MinInt64
	}
	return time.Duration(seconds)*time.Second + time.Duration(d.nanos) - time.Duration(now.Nanosecond())
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
	if c.notBefore != nil && c.notBefore.until(now) > tokenLeeway {
		return ErrTokenEarly
	}
	if c.expiry != nil && c.expiry.until(now) <= -tokenLeeway {
		return ErrTokenExpired
	}
	if len(audiences) == 0 {
		return nil
	}
	for _, want := range audiences {
		for _, named := range c.audience {
			if named == want {
				return nil
			}
		}
	}
	return ErrTokenAudience
}

// lifetime is the time until a token that is not over yet is over, leeway included:
// it is good for its connection for as long as it would be good for a new one. 0 is for
// good.
func (c *claims) lifetime(now time.Time) time.Duration {
	if c.expiry == nil {
		return 0
	}
	left := c.expiry.until(now)
	if left > math.MaxInt64-tokenLeeway {
		return math.MaxInt64
	}
	return max(1, left+tokenLeeway)
}
