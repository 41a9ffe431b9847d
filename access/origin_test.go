package access

import (
	"strings"
	"testing"

	"c10m/conn/wire"
)

// pageOf is what a request with these fields says of its page.
func pageOf(fields ...string) *Page {
	h := head("/news", fields...)
	return &Page{Origin: h.Value(wire.Origin), Origins: h.Count(wire.Origin), Host: h.HostPort(), Site: h.Value(wire.SecFetchSite)}
}

func TestOrigins(t *testing.T) {
	for _, c := range []struct {
		patterns string
		allowed  string
		refused  string
	}{
		{"https://example.com", "https://example.com HTTPS://Example.COM https://example.com:443",
			"http://example.com https://example.com:8443 https://www.example.com https://example.com.evil.test https://example.comx null https://example.com:0443"},
		{"https://example.com:443", "https://example.com", "https://example.com:444"},
		{"http://example.com:80", "http://example.com", "https://example.com"},
		{"https://Example.com:8443", "https://example.com:8443", "https://example.com"},
		{"https://*.example.com", "https://www.example.com https://a.b.example.com https://WWW.EXAMPLE.COM",
			"https://example.com https://.example.com https://evilexample.com https://example.com.evil.test http://www.example.com " +
				"https://evil.test/.example.com https://evil.test#.example.com https://evil.test?x=.example.com https://evil.test@www.example.com " +
				"https://evil.test:80.example.com https://evil.test\\.example.com https://*.example.com https://www.example.com:8443 https://www.example.com:"},
		{"http://localhost:*", "http://localhost http://localhost:3000 http://localhost:65535",
			"http://localhost: http://localhost:0 http://localhost:65536 http://localhost:x http://localhost:+1 http://localhost:80:80 https://localhost:3000"},
		{"https://*.example.com:*", "https://a.example.com:1", "https://example.com:1"},
		{"http://[::1]:*", "http://[::1]:80 http://[::1]", "http://::1 http://[::2] http://[::1 http://[::1%25eth0]"},
		{"http://127.0.0.1", "http://127.0.0.1", "http://127.0.0.11 http://127.0.0.1.evil.test"},
		{"capacitor://localhost", "capacitor://localhost", "http://localhost capacitor://localhost:1"},
		{"null", "null", "https://example.com NULL nullx"},
		{"*", "null https://example.com rubbish", ""},
		{"https://a.test https://b.test", "https://a.test https://b.test", "https://c.test"},
		{"https://sikh.test", "https://sikh.test", "https://si\u212ah.test"}, // the Kelvin sign folds to k
	} {
		origins, err := ParseOrigins(strings.Fields(c.patterns))
		if err != nil {
			t.Errorf("%s: %v", c.patterns, err)
			continue
		}
		for _, origin := range strings.Fields(c.allowed) {
			if !origins.Allow(pageOf("Origin: " + origin)) {
				t.Errorf("%s refuses %s", c.patterns, origin)
			}
		}
		for _, origin := range strings.Fields(c.refused) {
			if origins.Allow(pageOf("Origin: " + origin)) {
				t.Errorf("%s allows %s", c.patterns, origin)
			}
		}
		if !origins.Allow(pageOf()) {
			t.Errorf("%s refuses a request without Origin", c.patterns)
		}
		if c.patterns != "*" && origins.Allow(pageOf("Origin:")) {
			t.Errorf("%s allows an empty Origin", c.patterns)
		}
	}
}

func TestOriginFields(t *testing.T) {
	origins, _ := ParseOrigins([]string{"https://a.test"})
	for _, c := range []struct {
		fields []string
		want   bool
	}{
		{[]string{"oRIGIN:https://a.test \t"}, true},
		{[]string{"X-Origin: https://evil.test", "Origin: https://a.test"}, true},
		{[]string{"Origin: https://a.test", "Origin: https://evil.test"}, false},
		{[]string{"Origin: https://evil.test", "Origin: https://a.test"}, false},
		{[]string{"Origin: https://a.test", "Origin: https://a.test"}, false},
		{[]string{"Origin: https://a.test https://evil.test"}, false},
		{[]string{"Origin: https://evil.test https://a.test"}, false},
		{[]string{"Origin: https://evil.test, https://a.test"}, false},
	} {
		if got := origins.Allow(pageOf(c.fields...)); got != c.want {
			t.Errorf("%q: %v", c.fields, got)
		}
	}
	var all *Origins
	if !all.Allow(pageOf("Origin: https://evil.test")) {
		t.Error("no list refuses an origin")
	}
	page := pageOf("Origin: https://a.test")
	if n := testing.AllocsPerRun(100, func() { origins.Allow(page) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

// Who reads a channel without an Origin is no page of another site, nor one whose name
// was bound to this server.
func TestReadersWithoutOrigin(t *testing.T) {
	origins, _ := ParseOrigins([]string{"https://a.test:8443", "https://*.b.test"})
	for _, c := range []struct {
		host, fields string
		want         bool
	}{
		{"a.test", "", true}, {"A.test:80", "", true}, {"a.test.:80", "", true}, {"x.b.test", "", true}, {"x.y.b.test:1", "", true},
		{"b.test", "", false}, {"evil.test", "", false}, {"evil.test:10000", "", false}, {"a.test.evil.test", "", false}, {"xa.test", "", false},
		{"127.0.0.1", "", true}, {"127.0.0.1:10000", "", true}, {"[::1]:80", "", true}, {"[::1]", "", true}, {"", "", true}, {"localhost:1", "", true},
		{"c10m", "", true}, {"c10m:10000", "", true}, {"x.LOCALHOST", "", true}, {"printer.local", "", true}, {"c10m.default.svc.cluster.local:80", "", true},
		{"push.corp.internal", "", true}, {"local", "", true}, {".local", "", false}, {"evil-local.test", "", false}, {"127.0.0.1.evil.test", "", false},
		{"1.2.3", "", false}, {"0x7f.1", "", false},
		{"evil.test", "Sec-Fetch-Site: same-origin", false}, {"evil.test", "Origin: https://a.test:8443", true},
		{"a.test", "Sec-Fetch-Site: same-origin", true}, {"a.test", "Sec-Fetch-Site: none", true},
		{"a.test", "Sec-Fetch-Site: cross-site", false}, {"127.0.0.1", "Sec-Fetch-Site: same-site", false},
		{"a.test", "Origin: https://evil.test", false}, {"a.test", "Sec-Fetch-Site: cross-site|Origin: https://a.test:8443", true},
	} {
		page := pageOf(strings.FieldsFunc(c.fields, func(c rune) bool { return c == '|' })...)
		page.Host = []byte(c.host)
		if got := origins.AllowReader(page); got != c.want {
			t.Errorf("%q for %s: %v", c.fields, c.host, got)
		}
		var all *Origins
		if any, _ := ParseOrigins([]string{"*"}); !all.AllowReader(page) || !any.AllowReader(page) || any.Restrict() || all.Restrict() || !origins.Restrict() {
			t.Errorf("%q for %s is refused without a list", c.fields, c.host)
		}
	}
}

func TestParseOriginsRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"example.com":               "scheme://host",
		"https://":                  "scheme://host",
		"https://example.com/":      "nothing more",
		"https://a.test:0":          "scheme://host",
		"https://a.test:99999":      "scheme://host",
		"https://a.test:80:*":       "two ports",
		"https://*example.com":      "whole labels",
		"https://www.*.com":         "whole labels",
		"https://*":                 "whole labels",
		"https://*.":                "whole labels",
		"https://m\u00fcnchen.test": "xn--",
		"*://a.test":                "scheme://host",
		"":                          "scheme://host",
	} {
		if _, err := ParseOrigins([]string{text}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, and should say %q", text, err, says)
		}
	}
}
