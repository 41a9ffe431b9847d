package admin

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"c10m/bus"
)

func TestPassword(t *testing.T) {
	sources, fake := newSources(1)
	s, err := Listen(Config{Addr: "0.0.0.0:0", Password: "s3cret"}, sources, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	address := strings.Replace(s.Addr(), "[::]", "127.0.0.1", 1)
	get := func(path, password string) (int, string, http.Header) {
		t.Helper()
		request, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			request.SetBasicAuth("anybody", password)
		}
		response, body := answerOf(t, request)
		return response.StatusCode, body, response.Header
	}
	for _, path := range []string{"/", "/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/nowhere", "/healthz/", "//healthz"} {
		for _, password := range []string{"", "wrong", "s3cre", "s3cretx", "S3CRET"} {
			status, body, header := get(path, password)
			if status != http.StatusUnauthorized || !strings.HasPrefix(header.Get("WWW-Authenticate"), "Basic ") || strings.Contains(body, "c10m_") {
				t.Errorf("%s with password %q: %d %.60q", path, password, status, body)
			}
		}
	}
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/debug/pprof/cmdline"} {
		if status, body, _ := get(path, "s3cret"); status != http.StatusOK {
			t.Errorf("%s with the password: %d %.60q", path, status, body)
		}
	}

	if status, body, _ := get("/livez", ""); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/livez without a password: %d %q", status, body)
	}

	// Health is for load balancers, its reasons for the operator.
	for _, path := range []string{"/healthz", "/readyz"} {
		fake.setHealth(bus.Health{Up: true})
		if status, body, _ := get(path, ""); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s without a password: %d %q", path, status, body)
		}
		fake.setHealth(bus.Health{Reason: "redis.internal:6379 is gone", Since: time.Now()})
		if status, body, _ := get(path, "wrong"); status != http.StatusServiceUnavailable || strings.Contains(body, "redis") || body == "" {
			t.Errorf("%s of a sick server, without a password: %d %q", path, status, body)
		}
		if status, body, _ := get(path, "s3cret"); status != http.StatusServiceUnavailable || !strings.Contains(body, "redis.internal") {
			t.Errorf("%s of a sick server, with the password: %d %q", path, status, body)
		}
	}
}
