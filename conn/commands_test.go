package conn

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"c10m/channel"
)

// FuzzCommand compares the parser with one that is made of the library's parts.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		"PUB a\nx", "PUB a k\nx", "PUB a \"k\"\nx", "PUB a \n", "PUB a b c\n", "PUB a\n", "PUB a", "SUB a", "SUB a first", "SUB a%2Fb life-1\n", "SUB a b c", "UNSUB %C3%A9\n", "UNSUB a\nx", "PING", "PING\n",
		"", "\n", " ", "SUB  a", "sub a", "SUB -/x", "SUB %", "SUB %ff", "PUB " + strings.Repeat("%41", 255) + "\n", "SUB " + strings.Repeat("a", 766), "SUB a\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		got, refusal := parseCommand(message, make([]byte, 0, escapedBytesMax))
		if !bytes.Equal(before, message) {
			t.Fatal("the message was changed")
		}
		want, code := naiveCommand(string(message))
		gotCode := ""
		if refusal != nil {
			gotCode = refusal.code
		}
		if gotCode != code || got.verb != want.verb || code == "" &&
			(string(got.name) != string(want.name) || string(got.since) != string(want.since) || string(got.key) != string(want.key) || string(got.payload) != string(want.payload)) {
			t.Fatalf("%q is %+v %q, want %+v %q", message, got, gotCode, want, code)
		}
		// What is answered is one line of printable ASCII.
		if refusal != nil {
			answer := appendRefusal(nil, got.verb, got.name, got.key, refusal)
			line, _, _ := bytes.Cut(answer, []byte("\n"))
			if len(answer) > replyBytesMax || len(bytes.Fields(line)) != 4 || bytes.ContainsFunc(answer, func(r rune) bool { return r > '~' }) {
				t.Fatalf("%q is answered with %q", message, answer)
			}
		}
	})
}

func naiveCommand(message string) (c command, code string) {
	lines := strings.SplitN(message, "\n", 2)
	words := strings.Split(lines[0], " ")
	if !strings.Contains(" PUB SUB UNSUB PING ", " "+words[0]+" ") || words[0] == "" {
		return c, "bad_command"
	}
	c.verb = words[0]
	if c.verb == "PING" {
		if message != "PING" && message != "PING\n" {
			return c, "bad_command"
		}
		return c, ""
	}
	words = append(words, "")
	if len(words[1]) > escapedBytesMax {
		return c, "bad_command"
	}
	name, err := url.PathUnescape(words[1])
	if err != nil || !channel.ValidName([]byte(name)) {
		return c, "bad_channel"
	}
	c.name, words = []byte(name), words[2:len(words)-1]
	switch {
	case c.verb == "PUB":
		if len(lines) < 2 || len(words) > 1 || len(words) == 1 && (words[0] == "" || len(words[0]) > KeyBytesMax ||
			strings.ContainsFunc(words[0], func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })) {
			return c, "bad_command"
		}
		if c.payload = []byte(lines[1]); len(words) == 1 {
			c.key = []byte(words[0])
		}
	case len(lines) == 2 && lines[1] != "":
		return c, "bad_command"
	case len(words) > 1, len(words) == 1 && (c.verb == "UNSUB" || words[0] == "" || len(words[0]) > idBytesMax ||
		strings.ContainsFunc(words[0], func(r rune) bool { return r <= ' ' || r > '~' })):
		return c, "bad_command"
	case len(words) == 1:
		c.since = []byte(words[0])
	}
	return c, ""
}
