package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"c10m/conn/wire/wiretest"
)

func checkPollResponse(t testing.TB, payloads [][]byte) {
	t.Helper()
	var messages []PollMessage
	want, text := []string(nil), true
	for i, payload := range payloads {
		id := fmt.Sprintf("abcd1234-%d", 1000+i)
		messages = append(messages, PollMessage{[]byte(id), payload})
		want = append(want, id+" "+string(payload))
		text = text && utf8.Valid(payload)
	}
	checkPollForm(t, messages, want, text, false)
	checkPollForm(t, messages, want, text, true)
}

func checkPollForm(t testing.TB, messages []PollMessage, want []string, text, isLast bool) {
	t.Helper()
	got := AppendPollResponse(nil, messages, isLast)
	r := bufio.NewReader(bytes.NewReader(append(got, "next"...)))
	response, read := wiretest.ReadPoll(t, r)
	last := string(messages[len(messages)-1].ID)
	h := response.Header
	if fmt.Sprint(read) != fmt.Sprint(want) || response.StatusCode != 200 || h.Get("C10m-Position") != last ||
		h.Get("ETag") != `"`+last+`"` || h.Get("Cache-Control") != "no-store" || response.Close != isLast ||
		(h.Get("Content-Type") == "text/plain; charset=utf-8") != text {
		t.Fatalf("a client reads %.300q and %v from %.300q", read, h, got)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "next" {
		t.Fatalf("%q follows", rest)
	}
}

func TestPollResponsesCarryEveryPayload(t *testing.T) {
	for _, payloads := range [][]string{
		{""}, {"hello"}, {"", ""}, {"a", "", "b"}, {"\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"}, {"\xff"}, {"é", "\xfe"},
		{strings.Repeat("x", 1<<20)},
	} {
		var all [][]byte
		for _, p := range payloads {
			all = append(all, []byte(p))
		}
		checkPollResponse(t, all)
	}
	checkPollResponse(t, bytes.Split(bytes.Repeat([]byte("line\n"), 63), []byte("\n")))
}

func FuzzPollResponse(f *testing.F) {
	f.Add([]byte("a,b,,c"))
	f.Add([]byte(""))
	f.Add([]byte("\xff,x"))
	f.Fuzz(func(t *testing.T, p []byte) { checkPollResponse(t, bytes.Split(p, []byte(","))) })
}

func TestPollAnswersWithoutMessages(t *testing.T) {
	for _, c := range []struct {
		bytes  []byte
		status int
		last   bool
		body   string
	}{
		{AppendPollEmpty(nil, []byte("abcd1234-5"), false), 204, false, ""},
		{AppendPollEmpty(nil, []byte("abcd1234-5"), true), 204, true, ""},
		{AppendPollGone(nil, []byte("abcd1234-5"), 10, false), 410, false, pollGoneText},
		{AppendPollGone(nil, []byte("abcd1234-5"), 10, true), 410, true, pollGoneText},
	} {
		response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(c.bytes)), &http.Request{Method: "GET"})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != c.status || response.Close != c.last || string(body) != c.body ||
			response.Header.Get("C10m-Position") != "abcd1234-5" || response.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%q: %v %q %v", c.bytes, response, body, err)
		}
	}
	if strings.Contains(string(AppendPollEmpty(nil, nil, false)), "\nC10m-Position") {
		t.Error("an answer without a position names one")
	}
}
