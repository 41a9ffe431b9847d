package access

import (
	"strings"
	"testing"
)

func TestPackedPatterns(t *testing.T) {
	long := strings.Repeat("l", 300) + "*" // longer than one byte could say
	a := Patterns{Subscribe: []string{"news", "room-[0-9]", "", long}, Publish: []string{"say-*", "room-1"}}
	packed := a.Pack(PackedPatterns("x"))[1:] // it appends
	for _, c := range []struct {
		channel            string
		subscribe, publish bool
	}{
		{"news", true, false},
		{"new", false, false},
		{"room-1", true, true},
		{"room-2", true, false},
		{"room-x", false, false},
		{"say-", false, true},
		{"say-it", false, true},
		{"", true, false}, // as glob.Match has it; no channel is empty
		{strings.Repeat("l", 301), true, false},
		{strings.Repeat("l", 299), false, false},
	} {
		if got := packed.AllowsSubscribe([]byte(c.channel)); got != c.subscribe {
			t.Errorf("subscribe to %.20q: %v", c.channel, got)
		}
		if got := packed.AllowsPublish([]byte(c.channel)); got != c.publish {
			t.Errorf("publish to %.20q: %v", c.channel, got)
		}
	}
	for _, none := range []PackedPatterns{nil, {}, Patterns{}.Pack(nil)} {
		if none.AllowsSubscribe([]byte("news")) || none.AllowsPublish([]byte("news")) {
			t.Errorf("%q allows something", none)
		}
	}
	tooLong := Patterns{Subscribe: []string{strings.Repeat("*", packedLengthMax+1)}, Publish: []string{"p"}}.Pack(nil)
	if tooLong.AllowsSubscribe([]byte("news")) || !tooLong.AllowsPublish([]byte("p")) {
		t.Error("a pattern that is too long")
	}
}

// Without a channel, a token is judged by itself.
func TestTokenWithoutAChannel(t *testing.T) {
	tokens := newTokens(t, TokenConfig{}, "HS256")
	token := testSigners()["HS256"].sign(object{"publish": "p*"}, nil)
	if grant, err := tokens.Judge(bearer(token), nil); err != nil || grant.Publish || len(grant.Patterns.Publish) != 1 {
		t.Errorf("%+v %v", grant, err)
	}
	if _, err := tokens.Judge(bearer(token), []byte("p1")); err != ErrTokenChannel {
		t.Errorf("a channel that it does not allow: %v", err)
	}
	if _, err := tokens.Judge(bearer(tamper(token)+"x"), nil); err != ErrTokenInvalid {
		t.Errorf("a broken one: %v", err)
	}
}
