package web

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"c10m/internal/servertest"
)

// What a server gives to browsers, with the demo page and without.
func TestPages(t *testing.T) {
	t.Parallel()
	plain, demo := servertest.StartServer(t, 0), servertest.StartServer(t, 0, "--demo")
	for _, page := range []struct {
		path, contentType, file string
		isDemo                  bool
	}{
		{"/-/c10m.js", "text/javascript; charset=utf-8", "c10m.js", false},
		{"/-/c10m.d.ts", "text/plain; charset=utf-8", "c10m.d.ts", false},
		{"/-/demo", "text/html; charset=utf-8", "demo.html", true},
		{"/-/demo.js", "text/javascript; charset=utf-8", "demo.js", true},
	} {
		want, err := os.ReadFile(page.file)
		if page.file == "c10m.js" {
			// It is joined from modules, and npm packs the same.
			want, err = exec.Command("go", "run", "./join").Output()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, server := range []*servertest.Server{plain, demo} {
			answer, err := http.Get("http://" + addressOf(server.Port) + page.path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if page.isDemo && server == plain {
				if answer.StatusCode != http.StatusNotFound {
					t.Errorf("%s without --demo: %d", page.path, answer.StatusCode)
				}
				continue
			}
			if policy := answer.Header.Get("Content-Security-Policy"); page.path == "/-/demo" && !strings.Contains(policy, "frame-ancestors 'none'") {
				t.Errorf("%s may be shown in a frame: %q", page.path, policy)
			}
			if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != page.contentType || string(body) != string(want) {
				t.Errorf("%s: %d, %s, %d bytes of %d", page.path, answer.StatusCode, answer.Header.Get("Content-Type"), len(body), len(want))
			}
		}
	}
}
