package admin

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"c10m/bus"
)

// everyPage are pages of each kind.
var everyPage = []string{"/", "/metrics", "/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/channels", "/-/channels/news", "/publish/news",
	"/operator/", "/operator/state", "/operator/page.js", "/operator/channels", "/operator/clients?channel=a", "/operator/disconnect", "/nothing"}

// TestOtherNamesAreMisdirected: by a name that an attacker may have had resolved to
// here (DNS rebinding), nothing is seen and done but health.
func TestOtherNamesAreMisdirected(t *testing.T) {
	sources, fake := newSources(1)
	operator := &fakeOperator{}
	sources.Operator = operator
	s, err := Listen(Config{Addr: "127.0.0.1:0", Hosts: []string{"ops.example", "c10m."}}, sources, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(t.Context()) })
	fake.setHealth(bus.Health{Reason: "redis.internal:6379 is gone"})
	for _, host := range []string{"evil.example", "evil.example:9100", "localhost.evil.example", "127.0.0.1.evil.example", "xops.example",
		"ops.example.evil.example", "127.0.0.1x:80"} {
		for _, method := range []string{"GET", "POST"} {
			for _, path := range everyPage {
				status, text := answerTo(t, s, method, path, `{"channel":"news"}`, "Host: "+host, asJSON)
				if status != 421 && status != 400 || strings.Contains(text, "c10m_") || !strings.Contains(text, "--admin-host") && status == 421 {
					t.Errorf("%s %s of %s: %d %.80s", method, path, host, status, text)
				}
			}
		}
		for _, path := range []string{"/healthz", "/readyz"} {
			if status, text := answerTo(t, s, "GET", path, "", "Host: "+host); status == 421 || strings.Contains(text, "redis") {
				t.Errorf("%s of %s: %d %s", path, host, status, text)
			}
		}
	}
	if asked := operator.takeAsked(); len(asked) != 0 {
		t.Errorf("the loops were asked %v", asked)
	}
	if s.door.count() > connectionsMax {
		t.Error("connections are left")
	}
	for _, host := range []string{"127.0.0.1", "10.1.2.3:80", "[::1]:9100", "[::1]", "LocalHost:9100", "localhost.", "ops.example:9100", "OPS.example.", "c10m"} {
		if status, text := answerTo(t, s, "GET", "/metrics", "", "Host: "+host); status != 200 {
			t.Errorf("by %s: %d %.80s", host, status, text)
		}
	}
}

// TestPagesOfOtherOriginsAreRefused: a browser says who makes it ask. A link may be
// followed, and a page of this address may do everything.
func TestPagesOfOtherOriginsAreRefused(t *testing.T) {
	sources, _ := newSources(1)
	sources.Operator = &fakeOperator{}
	s := start(t, sources)
	own := "http://" + s.Addr()
	for _, headers := range [][]string{
		{"Origin: https://evil.example"},
		{"Origin: null"},
		{"Origin: http://127.0.0.1:1"},
		{"Origin: " + own + ".evil.example"},
		{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"},
		{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"},
		{"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Origin: http://127.0.0.1:1"},
		{"Sec-Fetch-Site: cross-site"},
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			for _, path := range everyPage {
				if status, text := answerTo(t, s, method, path, "x", headers...); status != 403 || !strings.Contains(text, "another origin") {
					t.Errorf("%s %s with %v: %d %.80s", method, path, headers, status, text)
				}
			}
		}
		if status, _ := answerTo(t, s, "GET", "/healthz", "", headers...); status != 200 {
			t.Errorf("/healthz with %v: %d", headers, status)
		}
	}
	link := []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	for _, headers := range [][]string{link, {"Sec-Fetch-Site: none"}, {"Sec-Fetch-Site: same-origin"}, {"Origin: " + own}} {
		if status, text := answerTo(t, s, "GET", "/operator/", "", headers...); status != 200 {
			t.Errorf("%v: %d %s", headers, status, text)
		}
	}
	if status, _ := answerTo(t, s, "POST", "/operator/disconnect", `{"channel":"news"}`, append(slices.Clone(link), asJSON)...); status != 403 {
		t.Errorf("a form of another origin: %d", status)
	}
}

// TestLive: alive is that loops make turns, whatever the bus, memory and a drain do.
func TestLive(t *testing.T) {
	sources, fake := newSources(3)
	operator := &fakeOperator{}
	sources.Operator = operator
	sources.Draining = func() bool { return true }
	sources.Memory = fakeMemory{"memory is short", 2, 3}
	s := start(t, sources)
	fake.setHealth(bus.Health{Reason: "gone"})
	for range 5 {
		if response, body := ask(t, s, "GET", "/livez"); response.StatusCode != 200 || body != "ok\n" {
			t.Fatalf("%d %q", response.StatusCode, body)
		}
	}
	if asked := operator.takeAsked(); len(asked) > 4 {
		t.Errorf("five in a moment asked the loops %d times", len(asked))
	}
	operator.mu.Lock()
	operator.silent = []int{0, 2}
	operator.mu.Unlock()
	await(t, "a server that hangs", func() bool {
		response, body := ask(t, s, "GET", "/livez")
		return response.StatusCode == http.StatusServiceUnavailable && strings.HasSuffix(body, ": [0 2]\n")
	})
	if asked := operator.takeAsked(); len(asked) < liveSecondsMax {
		t.Errorf("it was called dead after %d questions", len(asked))
	}
}
