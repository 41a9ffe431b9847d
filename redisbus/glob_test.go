package redisbus

import (
	"bufio"

	"net"
	"strings"
	"testing"
	"time"
)

var globs = []struct {
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
	for _, g := range globs {
		if got := globMatch(g.pattern, g.name); got != g.match {
			t.Errorf("%q on %q: %v", g.pattern, g.name, got)
		}
		if got := globMatch([]byte(g.pattern), []byte(g.name)); got != g.match {
			t.Errorf("%q on %q as bytes: %v", g.pattern, g.name, got)
		}
	}
}

// TestGlobAsRedis asks a real Redis: one peer subscribes to the name, another
// lists what matches the pattern.
func TestGlobAsRedis(t *testing.T) {
	addr := startRedis(t).addr
	subscriber, lister := dialRaw(t, addr), dialRaw(t, addr)
	for _, g := range globs {
		subscriber.do("SUBSCRIBE", g.name)
		want := "*0\r\n"
		if g.match {
			want = array("*", bulk(g.name))
		}
		if got := lister.do("PUBSUB", "CHANNELS", g.pattern); got != want {
			t.Errorf("%q on %q: Redis answers %q", g.pattern, g.name, got)
		}
		subscriber.do("UNSUBSCRIBE", g.name)
	}
}

// globSlow is the textbook matcher: it tries every run for every star.
func globSlow(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return globSlow(pattern[1:], name) || name != "" && globSlow(pattern, name[1:])
	case name == "":
		return false
	}
	next, ok := globOne(pattern, 0, name[0])
	return ok && globSlow(pattern[next:], name[1:])
}

func FuzzGlob(f *testing.F) {
	for _, g := range globs {
		f.Add(g.pattern, g.name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := globMatch(pattern, name)
		if len(pattern) > 12 || len(name) > 12 {
			return // the slow one is exponential
		}
		if want := globSlow(pattern, name) && (name != "" || pattern == ""); got != want {
			t.Errorf("%q on %q: %v", pattern, name, got)
		}
	})
}

// TestGlobIsNotExponential would not end within the age of the universe if it
// were. Through the bus, so that the limits are part of it.
func TestGlobIsNotExponential(t *testing.T) {
	b := startEmbedded(t, newDoor(nil), "")
	r := dialRaw(t, b.Addr().String())
	r.send(cmd("PSUBSCRIBE", strings.Repeat("a*", subscriptionBytesMax/2-1)+"b"))
	r.readReply()
	if n := publishAt(t, b.Addr().String(), strings.Repeat("a", 10_000), "x"); n != 0 {
		t.Errorf("%d receivers", n)
	}
}

// FuzzRESP sends bytes to a bus and then, on the same or a new connection,
// checks that it still works. What the walk lets through, redcon must split.
func FuzzRESP(f *testing.F) {
	for _, c := range conversations {
		if len(c.send) < 2000 {
			f.Add([]byte(c.send), uint8(3), c.password != "")
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, cut uint8, protected bool) {
		password := ""
		if protected {
			password = "pw"
		}
		b := newEmbedded(EmbeddedConfig{Password: password}, testDoor(), nopLog)
		ours, theirs := net.Pipe()
		_ = theirs.SetDeadline(time.Now().Add(hang))
		b.admit(ours)
		answered := make(chan string)
		go func() {
			var all strings.Builder
			_, _ = bufio.NewReader(theirs).WriteTo(&all)
			answered <- all.String()
		}()
		at := min(int(cut), len(input))
		_, _ = theirs.Write(input[:at])
		_, _ = theirs.Write(input[at:])
		_ = theirs.Close()
		if answer := <-answered; strings.Contains(answer, errDisagree.Error()) {
			t.Errorf("the walk let through what redcon does not take: %q", input)
		}
		b.ended.Wait()
		if s := b.Stats(); s.Peers != 0 || s.Subscriptions != 0 || s.QueuedBytes != 0 {
			t.Errorf("left over: %+v", s)
		}
		hello := ""
		if protected {
			hello = cmd("AUTH", "pw")
		}
		if got, want := talk(t, b, hello+cmd("PING")), strings.Repeat(ok, len(hello)/len(cmd("AUTH", "pw")))+pong+ok; got != want {
			t.Errorf("then a ping: %q, want %q", got, want)
		}
	})
}
