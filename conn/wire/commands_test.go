package wire

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
		"SUB a " + strings.Repeat("p", IDBytesMax), "SUB a " + strings.Repeat("p", IDBytesMax+1), "PUB a " + strings.Repeat("k", KeyBytesMax+1) + "\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		got, failed := ParseCommand(message, make([]byte, 0, EscapedBytesMax), channel.ValidName)
		if !bytes.Equal(before, message) {
			t.Fatal("the message was changed")
		}
		want, code := naiveCommand(string(message))
		gotCode := ""
		if failed != nil {
			gotCode = failed.Code
		}
		if gotCode != code || got.Verb != want.Verb || code == "" &&
			(string(got.Name) != string(want.Name) || string(got.Since) != string(want.Since) || string(got.Key) != string(want.Key) || string(got.Payload) != string(want.Payload)) {
			t.Fatalf("%q is %+v %q, want %+v %q", message, got, gotCode, want, code)
		}
		// What is answered is one line of printable ASCII.
		if failed != nil {
			answer := AppendErr(nil, got.Verb, got.Name, got.Key, failed)
			line, _, _ := bytes.Cut(answer, []byte("\n"))
			if len(answer) > ReplyBytesMax || len(bytes.Fields(line)) != 4 || bytes.ContainsFunc(answer, func(r rune) bool { return r > '~' }) {
				t.Fatalf("%q is answered with %q", message, answer)
			}
		}
	})
}

func naiveCommand(message string) (c Command, code string) {
	lines := strings.SplitN(message, "\n", 2)
	words := strings.Split(lines[0], " ")
	if !strings.Contains(" PUB SUB UNSUB PING ", " "+words[0]+" ") || words[0] == "" {
		return c, "bad_command"
	}
	c.Verb = words[0]
	if c.Verb == "PING" {
		if message != "PING" && message != "PING\n" {
			return c, "bad_command"
		}
		return c, ""
	}
	words = append(words, "")
	if len(words[1]) > EscapedBytesMax {
		return c, "bad_command"
	}
	name, err := url.PathUnescape(words[1])
	if err != nil || !channel.ValidName([]byte(name)) {
		return c, "bad_channel"
	}
	c.Name, words = []byte(name), words[2:len(words)-1]
	switch {
	case c.Verb == "PUB":
		if len(lines) < 2 || len(words) > 1 || len(words) == 1 && (words[0] == "" || len(words[0]) > KeyBytesMax ||
			strings.ContainsFunc(words[0], func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })) {
			return c, "bad_command"
		}
		if c.Payload = []byte(lines[1]); len(words) == 1 {
			c.Key = []byte(words[0])
		}
	case len(lines) == 2 && lines[1] != "":
		return c, "bad_command"
	case len(words) > 1, len(words) == 1 && (c.Verb == "UNSUB" || words[0] == "" || len(words[0]) > IDBytesMax ||
		strings.ContainsFunc(words[0], func(r rune) bool { return r <= ' ' || r > '~' })):
		return c, "bad_command"
	case len(words) == 1:
		c.Since = []byte(words[0])
	}
	return c, ""
}

func TestReplies(t *testing.T) {
	name, key := []byte("a b/é"), []byte("k")
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{AppendReply(nil, ReplySub, name, nil), "OK SUB a%20b/%C3%A9"},
		{AppendReply(nil, ReplyGap, name, []byte("life-7 10")), "GAP a%20b/%C3%A9 life-7 10"},
		{AppendPubOK(nil, name, key, ""), "OK PUB a%20b/%C3%A9 k"},
		{AppendPubOK(nil, name, key, "life-7"), "OK PUB a%20b/%C3%A9 k life-7"},
		{AppendErr(nil, "", nil, nil, ErrBadCommand), "ERR - - bad_command\n" + ErrBadCommand.Sentence},
		{AppendErr(nil, "PUB", name, key, ErrOverload), "ERR PUB a%20b/%C3%A9 overload k\n" + ErrOverload.Sentence},
		{FrameAuto.NamedFrame(name, []byte("life-7"), []byte("x\xff"))[2:], "MSG a%20b/%C3%A9 life-7\nx\xff"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%q and not %q", c.got, c.want)
		}
	}
	for payload, want := range map[string]byte{"é": 0x81, "\xff": 0x82} {
		if got := FrameAuto.NamedFrame(name, []byte("life-7"), []byte(payload))[0]; got != want {
			t.Errorf("%q: first byte %x", payload, got)
		}
	}
}
