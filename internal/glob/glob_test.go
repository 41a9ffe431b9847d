package glob

import (
	"fmt"
	"slices"
	"testing"

	"c10m/internal/servertest"

	"github.com/redis/go-redis/v9"
)

// cases say whether a pattern matches a name. A real Redis is asked, too.
var cases = []struct {
	pattern, name string
	match         bool
}{
	{"", "", true}, {"", "a", false}, {"a", "", false}, {"*", "", false}, {"*", "abc", true}, {"**", "abc", true},
	{"a", "a", true}, {"a", "b", false}, {"a", "ab", false}, {"ab", "a", false},
	{"?", "a", true}, {"?", "", false}, {"?", "ab", false}, {"??", "ab", true}, {"*?", "", false}, {"*?", "abc", true},
	{"a*", "abc", true}, {"a*c", "abc", true}, {"a*c", "abcd", false}, {"*c", "abcc", true}, {"a*b*c", "axxbxxc", true},
	{"a*b*c", "axxcxxb", false}, {"*ab*ab*", "abxab", true}, {"*aab", "aaaab", true},
	{"[abc]", "b", true}, {"[abc]", "d", false}, {"[a-c]", "b", true}, {"[a-c]", "d", false}, {"[c-a]", "b", true},
	{"[^a]", "b", true}, {"[^a]", "a", false}, {"[^a-c]", "d", true}, {"[^a-c]", "b", false},
	{"[a-]", "-", false}, {"[a-]", "_", true}, {"[a-]", "x", false}, {"[-a]", "-", true}, {"[a-", "a", true}, {"[a-", "-", true}, {"[a-", "b", false},
	{"[]", "a", false}, {"[]", "]", false}, {"[^]", "a", true}, {"[^]", "]", true}, {"[", "a", false}, {"[", "[", false},
	{"[^", "a", true}, {"[abc", "c", true}, {"[abc", "d", false}, {"[a]b", "ab", true}, {"[a]b", "aa", false},
	{"[\\]]", "]", true}, {"[\\]]", "\\", false}, {"[\\-a]", "-", true}, {"[a\\-c]", "b", false}, {"[\\", "\\", true},
	{"[*]", "*", true}, {"[*]", "a", false}, {"[?]", "?", true}, {"x[0-9]*", "x7y", true},
	{"\\*", "*", true}, {"\\*", "a", false}, {"\\?", "?", true}, {"\\[", "[", true}, {"\\a", "a", true},
	{"\\", "\\", true}, {"a\\", "a\\", true}, {"\\\\", "\\", true}, {"*\\", "ab\\", true},
	{"h?llo", "hello", true}, {"h[ae]llo", "hallo", true}, {"h[^e]llo", "hello", false}, {"news.*", "news", false},
	{"*[a", "xa", true}, {"*[", "x", false}, {"ä*", "äb", true}, {"?", "ä", false}, {"\x00*", "\x00\xff", true},
}

func TestGlob(t *testing.T) {
	for _, g := range cases {
		if got := Match(g.pattern, g.name); got != g.match {
			t.Errorf("%q on %q: %v", g.pattern, g.name, got)
		}
		if got := Match([]byte(g.pattern), []byte(g.name)); got != g.match {
			t.Errorf("%q on %q as bytes: %v", g.pattern, g.name, got)
		}
	}
}

// TestGlobAsRedis asks a real Redis: a client subscribes to the name, and what matches the
// pattern is listed.
func TestGlobAsRedis(t *testing.T) {
	port := servertest.FreePort(t)
	servertest.StartRedis(t, port)
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port)})
	t.Cleanup(func() { client.Close() })
	for _, g := range cases {
		subscriber := client.Subscribe(t.Context(), g.name)
		if _, err := subscriber.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Not PubSubChannels, which takes no pattern for the empty one.
		found, err := client.Do(t.Context(), "PUBSUB", "CHANNELS", g.pattern).StringSlice()
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(found, g.name); got != g.match {
			t.Errorf("%q on %q: Redis answers %q", g.pattern, g.name, found)
		}
		subscriber.Close()
	}
}

// slowMatch is the textbook matcher: it tries every run for every star.
func slowMatch(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return slowMatch(pattern[1:], name) || name != "" && slowMatch(pattern, name[1:])
	case name == "":
		return false
	}
	next, ok := one(pattern, 0, name[0])
	return ok && slowMatch(pattern[next:], name[1:])
}

func FuzzGlob(f *testing.F) {
	for _, g := range cases {
		f.Add(g.pattern, g.name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := Match(pattern, name)
		if len(pattern) > 12 || len(name) > 12 {
			return // the slow one is exponential
		}
		if want := slowMatch(pattern, name) && (name != "" || pattern == ""); got != want {
			t.Errorf("%q on %q: %v", pattern, name, got)
		}
	})
}
