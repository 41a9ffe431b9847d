package conn

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"c10m/channel"
)

// readPoll reads one answer as a client does and returns its messages as
// "id payload".
func readPoll(t testing.TB, r *bufio.Reader) (response *http.Response, messages []string) {
	t.Helper()
	response, err := http.ReadResponse(r, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	list := response.Header.Get("C10m-Messages")
	for item := range strings.SplitSeq(list, ",") {
		if list == "" {
			break
		}
		id, length, _ := strings.Cut(item, ":")
		n, err := strconv.Atoi(length)
		if err != nil || n > len(body) {
			t.Fatalf("C10m-Messages %q and %d bytes are left", list, len(body))
		}
		messages = append(messages, id+" "+string(body[:n]))
		body = body[n:]
	}
	if list != "" && len(body) > 0 {
		t.Fatalf("%d bytes are left after the last of %q", len(body), list)
	}
	return response, messages
}

func checkPollResponse(t testing.TB, payloads [][]byte) {
	t.Helper()
	var messages []pollMessage
	want, text := []string(nil), true
	for i, payload := range payloads {
		id := fmt.Sprintf("abcd1234-%d", 1000+i)
		messages = append(messages, pollMessage{[]byte(id), payload})
		want = append(want, id+" "+string(payload))
		text = text && utf8.Valid(payload)
	}
	checkPollForm(t, messages, want, text, false)
	checkPollForm(t, messages, want, text, true)
}

func checkPollForm(t testing.TB, messages []pollMessage, want []string, text, isLast bool) {
	t.Helper()
	got := appendPollResponse(nil, messages, isLast)
	if len(got) > pollResponseBytes(messages) {
		t.Fatalf("%d bytes, and pollResponseBytes says %d", len(got), pollResponseBytes(messages))
	}
	r := bufio.NewReader(bytes.NewReader(append(got, "next"...)))
	response, read := readPoll(t, r)
	last := string(messages[len(messages)-1].id)
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
	checkPollResponse(t, bytes.Split(bytes.Repeat([]byte("line\n"), channel.ResponseMessagesMax-1), []byte("\n")))
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
		{appendPollEmpty(nil, []byte("abcd1234-5"), false), 204, false, ""},
		{appendPollEmpty(nil, []byte("abcd1234-5"), true), 204, true, ""},
		{appendPollGone(nil, []byte("abcd1234-5"), 10, false), 410, false, pollGoneText},
		{appendPollGone(nil, []byte("abcd1234-5"), 10, true), 410, true, pollGoneText},
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
	if strings.Contains(string(appendPollEmpty(nil, nil, false)), "\nC10m-Position") {
		t.Error("an answer without a position names one")
	}
}
