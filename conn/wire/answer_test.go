package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

// readAnswer reads an answer as a client does, and what follows it must be "next".
func readAnswer(t *testing.T, answer []byte, method string) (*http.Response, string) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(append(bytes.Clone(answer), "next"...)))
	response, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", answer, err)
	}
	body, err := io.ReadAll(response.Body)
	if rest, _ := io.ReadAll(r); err != nil || string(rest) != "next" {
		t.Fatalf("%q: %v, and %q follows", answer, err, rest)
	}
	return response, string(body)
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		refusal    Refusal
		status     string
		connection string
	}{
		{Refusal{Status: 400, Text: "no"}, "400 Bad Request", "close"},
		{Refusal{Status: 403, Text: "no", IsHidden: true}, "403 Forbidden", "close"},
		{Refusal{Status: 503, RetrySeconds: 7, Text: "no"}, "503 Service Unavailable", "close"},
		{Refusal{Status: 426, Fields: "Upgrade: websocket\r\n", Text: "no"}, "426 Upgrade Required", "close, Upgrade"},
	} {
		answer := c.refusal.Append(nil)
		r, body := readAnswer(t, answer, "GET")
		h := r.Header
		if r.Status != c.status || body != "no\n" || !r.Close || !bytes.Contains(answer, []byte("\r\nConnection: "+c.connection+"\r\n")) ||
			(h.Get("Access-Control-Allow-Origin") == "") != c.refusal.IsHidden || (h.Get("Retry-After") == "7") != (c.refusal.RetrySeconds == 7) {
			t.Errorf("%+v: %q", c.refusal, answer)
		}
		if r, body := readAnswer(t, AnswerTo(true, answer), "HEAD"); r.Status != c.status || body != "" {
			t.Errorf("to HEAD: %q", AnswerTo(true, answer))
		}
	}
}

func TestFailures(t *testing.T) {
	f := Failure{Status: 429, RetrySeconds: 1, Text: "later"}
	for _, isLast := range []bool{false, true} {
		r, body := readAnswer(t, f.Append(nil, isLast), "POST")
		if r.StatusCode != 429 || r.Close != isLast || r.Header.Get("Retry-After") != "1" || body != "later\n" || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("last %v: %v %q", isLast, r, body)
		}
	}
}

// What differs is put in, and nothing else is changed.
func TestDressed(t *testing.T) {
	answer := AppendAnswer(nil, 200, "", "text/plain", []byte("Access-Control-Allow-Origin: *\r\n"), false)
	for _, origin := range []string{"", "https://a.example"} {
		for _, date := range [][]byte{nil, AppendDate(nil, time.Unix(784111777, 0))} {
			got := AppendDressed(nil, answer, date, []byte(origin))
			r, body := readAnswer(t, got, "GET")
			wantOrigin, wantDate := "*", ""
			if origin != "" {
				wantOrigin = origin
			}
			if date != nil {
				wantDate = "Sun, 06 Nov 1994 08:49:37 GMT"
			}
			h := r.Header
			if body != "Access-Control-Allow-Origin: *\r\n" || h.Get("Access-Control-Allow-Origin") != wantOrigin || h.Get("Date") != wantDate ||
				(h.Get("Vary") == "Origin") != (origin != "") || (h.Get("Access-Control-Allow-Credentials") == "true") != (origin != "") {
				t.Errorf("for %q, %q: %q", origin, date, got)
			}
		}
	}
	if r, _ := readAnswer(t, Dated(answer), "GET"); len(r.Header.Values("Date")) != 1 {
		t.Errorf("%q has not its date", Dated(answer))
	}
}

func TestPreflightsNameWhatIsAskedFor(t *testing.T) {
	for asked, want := range map[string]string{
		"Access-Control-Request-Headers: x-a, x-b\r\n": "x-a, x-b",
		"Access-Control-Request-Headers: x-a;\r\n":     "", // no list of tokens
		"": "",
	} {
		var h Head
		request := "OPTIONS /news HTTP/1.1\r\nHost: h\r\n" + asked + "\r\n"
		if size, fault := h.Parse([]byte(request), HeadBytesMax); size == 0 {
			t.Fatalf("%q: %v", request, fault)
		}
		answer := append(AppendPreflight(nil, &h, true), "next"...)
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), &http.Request{Method: "OPTIONS"})
		if err != nil || r.StatusCode != 204 || !r.Close {
			t.Fatalf("%q: %v", answer, err)
		}
		if got := r.Header.Get("Access-Control-Allow-Headers"); got != want && (want != "" || got == "x-a;" || got == "") {
			t.Errorf("%q: allowed are %q", asked, got)
		}
	}
}

func TestJSONIsThatOfTheLibrary(t *testing.T) {
	for _, name := range []string{"news", "a\"b\\", "é\x00\u2028", "\xff"} {
		var got map[string]any
		p := AppendPresence(nil, name, []Part{{Of: "x", Connections: 2, Version: 3}, {Of: "y", Connections: 4, Version: 5}})
		if err := json.Unmarshal(p, &got); err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		parts := got["presence"].([]any)
		if want := string(bytes.ToValidUTF8([]byte(name), []byte("\uFFFD"))); got["channel"] != want || got["connections"] != 6. || len(parts) != 2 ||
			parts[1].(map[string]any)["of"] != "y" || parts[1].(map[string]any)["version"] != 5. {
			t.Errorf("%q: %q", name, p)
		}
	}
	for _, c := range []struct{ got, want string }{
		{string(AppendPublished(nil, "a", 1, -1, "")), `{"channel":"a","connections":1}`},
		{string(AppendPublished(nil, "a", 1, 0, "x-1")), `{"channel":"a","connections":1,"subscribers":0,"id":"x-1"}`},
		{string(AppendPresenceChange(nil, 1, 2, Part{"x", 3, 4})), `{"joined":1,"left":2,"of":"x","connections":3,"version":4}`},
	} {
		if c.got != c.want {
			t.Errorf("%s and not %s", c.got, c.want)
		}
	}
}
