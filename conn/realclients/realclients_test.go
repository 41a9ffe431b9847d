/*
Package realclients holds the tests that run WebSocket clients which others wrote
against the real server: ws in Node, and Chromium, headless, with a page of ours.
Both run one scenario, scenario.mjs; node.mjs and page.html are what differs
between them.

A scenario talks to the test that started it over HTTP (the test's own, on a port
of the kernel's choice, which also serves the page): it asks it to publish, and
tells it how it ended.

scripts/install-test-deps installs Node, Chromium and, by package-lock.json, ws.
*/
package realclients

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"c10m/internal/chromium"
	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// A director is the test's end of a scenario: it serves the page, publishes what
// it is asked to, and hears how the scenario ends.
type director struct {
	t      *testing.T
	server *servertest.Server
	bus    *redis.Client
	http   *httptest.Server
	ended  chan string // "" if all went well
	line   *line       // nil if the client talks to the server itself

	mu    sync.Mutex
	steps []string
}

func direct(t *testing.T) *director {
	t.Helper()
	d := &director{t: t, ended: make(chan string, 1)}
	d.server = servertest.StartServer(t, 0, "--publish", "own", "--ping-interval", "1s", "--drain", "1s", "--history", "100")
	d.bus = redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", d.server.Bus)})
	t.Cleanup(func() { d.bus.Close() })
	pages := http.NewServeMux()
	pages.Handle("GET /", http.FileServer(http.Dir(".")))
	pages.HandleFunc("POST /publish", d.publish)
	pages.HandleFunc("POST /order", d.order)
	pages.HandleFunc("POST /drain", func(http.ResponseWriter, *http.Request) { d.server.Signal(syscall.SIGTERM) })
	pages.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) { d.line.reset() })
	pages.HandleFunc("POST /step", func(_ http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.steps = append(d.steps, d.body(r))
	})
	pages.HandleFunc("POST /done", func(http.ResponseWriter, *http.Request) { d.end("") })
	pages.HandleFunc("POST /failed", func(_ http.ResponseWriter, r *http.Request) { d.end("failed: " + d.body(r)) })
	d.http = httptest.NewServer(pages)
	t.Cleanup(d.http.Close)
	return d
}

func (d *director) end(how string) {
	select {
	case d.ended <- how:
	default:
	}
}

func (d *director) body(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Error(err)
	}
	return string(body)
}

// publish answers with the number of receivers.
func (d *director) publish(w http.ResponseWriter, r *http.Request) {
	n, err := d.bus.Publish(r.Context(), r.URL.Query().Get("channel"), d.body(r)).Result()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprint(w, n)
}

func (d *director) order(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	messages, _ := strconv.Atoi(query.Get("messages"))
	_, err := d.bus.Pipelined(r.Context(), func(pipe redis.Pipeliner) error {
		for i := range messages {
			pipe.Publish(r.Context(), query.Get("channel"), i)
		}
		return nil
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

// wait waits for the end of a scenario, and of the server that it had drained. gone
// says that whoever plays it is gone, and why.
func (d *director) wait(gone func() string) {
	d.t.Helper()
	hangs := time.After(patience.Guard)
	for ended := false; !ended; {
		select {
		case how := <-d.ended:
			if how != "" {
				d.t.Fatalf("%s, after %q", how, d.steps)
			}
			ended = true
		case <-time.After(100 * time.Millisecond):
			if why := gone(); why != "" && len(d.ended) == 0 {
				d.t.Fatalf("it ended without a word: %s", why)
			}
		case <-hangs:
			d.mu.Lock()
			defer d.mu.Unlock()
			d.t.Fatalf("it hangs, after %q", d.steps)
		}
	}
	if status := d.server.Wait(); status != 0 {
		d.t.Errorf("the server ended with status %d", status)
	}
	d.t.Logf("%d steps: %s", len(d.steps), strings.Join(d.steps, "; "))
}

func (d *director) websocket() string { return fmt.Sprintf("ws://127.0.0.1:%d", d.server.Port) }

func TestNodeWS(t *testing.T) {
	t.Parallel()
	node := servertest.Find(t, "node", "nodejs")
	if _, err := os.Stat("node_modules/ws"); err != nil {
		t.Fatal("the npm package ws is not there: run make test, which installs it")
	}
	d := direct(t)
	client := servertest.Start(t, node, "node.mjs", d.websocket(), d.http.URL)
	d.wait(client.Gone)
	for _, step := range []string{"pings are answered, and come", "fragments with pings in between are one message", "a drain says 1012"} {
		if !slices.Contains(d.steps, step) {
			t.Errorf("the step %q was not taken", step)
		}
	}
}

func TestChromium(t *testing.T) {
	t.Parallel()
	d := direct(t)
	d.browse("page.html", d.websocket())
	if !slices.Contains(d.steps, "a drain says 1012") {
		t.Error("the last step was not taken")
	}
}

// browse runs a page of ours in Chromium, which talks to the server at that URL.
func (d *director) browse(page, server string) {
	d.t.Helper()
	browser := chromium.Start(d.t)
	browser.Open(d.http.URL + "/" + page + "?server=" + url.QueryEscape(server))
	d.wait(browser.Gone)
}
