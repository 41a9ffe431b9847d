package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"c10m/internal/chromium"
	"c10m/internal/firefox"
	"c10m/internal/servertest"

	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"
)

// A director is the test's end of test/scenario.mjs: it serves it, has a server and
// what is between, and does to them what the scenario asks for.
type director struct {
	t       *testing.T
	server  *servertest.Server
	guarded *servertest.Server // asks for tokens
	line    *servertest.Line
	box     *servertest.Middlebox
	at      string // the addresses, as JSON
	http    *httptest.Server
	ended   chan string // "" if all went well
	orders  chan func() // for the test's own goroutine, which alone may fail it

	mu    sync.Mutex
	steps []string
}

// secret signs the tokens of the guarded server.
const secret = "0123456789abcdef0123456789abcdef"

var serverFlags = []string{"--publish", "own", "--history", "5000", "--ping-interval", "1s", "--drain", "1s"}

func direct(t *testing.T) *director {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &director{t: t, ended: make(chan string, 1), orders: make(chan func())}
	d.server = servertest.StartServer(t, 0, serverFlags...)
	d.guarded = servertest.StartServer(t, 0, append([]string{"--token-key", key}, serverFlags...)...)
	server := addressOf(d.server.Port)
	d.line = servertest.NewLine(t, server)
	d.box = servertest.NewMiddlebox(t, server)
	at, err := json.Marshal(map[string]string{
		"direct": "http://" + server, "guarded": "http://" + addressOf(d.guarded.Port), "line": d.line.URL(), "box": d.box.URL(),
		"noUpgrades": newProxy(t, server, false), "buffers": newProxy(t, server, true),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.at = string(at)
	d.serve()
	return d
}

func (d *director) serve() {
	pages := http.NewServeMux()
	pages.Handle("GET /", http.FileServer(http.Dir(".")))
	pages.HandleFunc("GET /-/c10m.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", javaScript)
		w.Write(module)
	})
	for what, do := range map[string]func(query url.Values, body string) (string, error){
		"publish":         func(q url.Values, body string) (string, error) { return publish(d.server, q, body) },
		"publish-guarded": func(q url.Values, body string) (string, error) { return publish(d.guarded, q, body) },
		"order":           d.order,
		"token":           tokenFor,
		"cut":             func(url.Values, string) (string, error) { d.line.Cut(); return "", nil },
		"heal":            func(url.Values, string) (string, error) { d.line.Heal(); return "", nil },
		"reset":           func(url.Values, string) (string, error) { d.line.Reset(); return "", nil },
		"box":             func(q url.Values, _ string) (string, error) { d.box.Set(q.Get("mode")); return "", nil },
		"cut-after":       d.cutAfter,
		"disconnect":      d.disconnect,
		"drain":           func(url.Values, string) (string, error) { return d.stop(syscall.SIGTERM) },
		"kill":            func(url.Values, string) (string, error) { return d.stop(syscall.SIGKILL) },
		"start": func(url.Values, string) (string, error) {
			return d.inTest(func() { d.server = d.server.StartAgain(d.t, 0, serverFlags...) })
		},
		"step":   func(_ url.Values, body string) (string, error) { d.step(body); return "", nil },
		"done":   func(url.Values, string) (string, error) { d.ended <- ""; return "", nil },
		"failed": func(_ url.Values, body string) (string, error) { d.ended <- "failed: " + body; return "", nil },
	} {
		pages.HandleFunc("POST /"+what, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			answer := ""
			if err == nil {
				answer, err = do(r.URL.Query(), string(body))
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			fmt.Fprint(w, answer)
		})
	}
	d.http = httptest.NewServer(pages)
	d.t.Cleanup(func() {
		d.http.CloseClientConnections()
		d.http.Close()
	})
}

func (d *director) step(step string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps = append(d.steps, step)
}

func (d *director) stepsTaken() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.steps)
}

// inTest has the test's goroutine do something.
func (d *director) inTest(do func()) (string, error) {
	done := make(chan struct{})
	d.orders <- func() {
		do()
		close(done)
	}
	<-done
	return "", nil
}

func (d *director) stop(signal syscall.Signal) (string, error) {
	return d.inTest(func() {
		d.server.Signal(signal)
		d.server.Wait()
	})
}

// publish answers with the number of receivers.
func publish(server *servertest.Server, query url.Values, payload string) (string, error) {
	bus := redis.NewClient(&redis.Options{Addr: addressOf(server.Bus)})
	defer bus.Close()
	n, err := bus.Publish(context.Background(), query.Get("channel"), payload).Result()
	return strconv.FormatInt(n, 10), err
}

func (d *director) cutAfter(query url.Values, _ string) (string, error) {
	n, err := strconv.Atoi(query.Get("bytes"))
	if err == nil {
		d.box.CutAfter(n)
	}
	return "", err
}

// disconnect has the operator disconnect a channel.
func (d *director) disconnect(query url.Values, _ string) (string, error) {
	body, err := json.Marshal(map[string]any{"channel": query.Get("channel"), "overSeconds": 0})
	if err != nil {
		return "", err
	}
	answer, err := http.Post("http://"+addressOf(d.server.Admin)+"/operator/disconnect", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("disconnect: %s", answer.Status)
	}
	return "", nil
}

func (d *director) order(query url.Values, _ string) (string, error) {
	bus := redis.NewClient(&redis.Options{Addr: addressOf(d.server.Bus)})
	defer bus.Close()
	messages, err := strconv.Atoi(query.Get("messages"))
	if err != nil {
		return "", err
	}
	_, err = bus.Pipelined(d.t.Context(), func(pipe redis.Pipeliner) error {
		for i := range messages {
			pipe.Publish(d.t.Context(), query.Get("channel"), i)
		}
		return nil
	})
	return "", err
}

func tokenFor(query url.Values, _ string) (string, error) {
	seconds, err := strconv.Atoi(query.Get("seconds"))
	if err != nil {
		return "", err
	}
	claims := jwt.MapClaims{"subscribe": query.Get("channel"), "exp": time.Now().Add(time.Duration(seconds) * time.Second).Unix()}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
}

// wait does what the scenario orders until it ends. gone says that whoever runs it is
// gone, and why.
func (d *director) wait(gone func() string) {
	d.t.Helper()
	seen, hangs := 0, time.After(hangGuard)
	for {
		// Each step has this time, not all of them.
		if n := d.stepsTaken(); n > seen {
			seen, hangs = n, time.After(hangGuard)
		}
		select {
		case do := <-d.orders:
			do()
		case how := <-d.ended:
			d.mu.Lock()
			defer d.mu.Unlock()
			if how != "" {
				d.t.Fatalf("%s, after %q", how, d.steps)
			}
			for _, step := range d.steps {
				if !strings.HasPrefix(step, "begins: ") {
					d.t.Log(step)
				}
			}
			if last := "a token that ends is followed by a new one, and the channel goes on"; !slices.Contains(d.steps, last) {
				d.t.Error("the last step was not taken")
			}
			return
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
}

func TestModuleInNode(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("../conn/realclients/node_modules/ws"); err != nil {
		t.Fatal("the npm package ws is not there: run make test, which installs it")
	}
	d := direct(t)
	file := filepath.Join(t.TempDir(), "c10m.mjs")
	if err := os.WriteFile(file, module, 0o600); err != nil {
		t.Fatal(err)
	}
	client := servertest.Start(t, servertest.Find(t, "node", "nodejs"), "test/node.mjs", d.http.URL, d.at, file)
	d.wait(client.Gone)
}

func TestModuleInFirefox(t *testing.T) {
	t.Parallel()
	d := direct(t)
	browser := firefox.Start(t)
	browser.Open(d.http.URL + "/test/page.html?at=" + url.QueryEscape(d.at))
	d.wait(browser.Gone)
}

func TestModuleInChromium(t *testing.T) {
	t.Parallel()
	d := direct(t)
	browser := chromium.Start(t)
	browser.Open(d.http.URL + "/test/page.html?at=" + url.QueryEscape(d.at))
	d.wait(browser.Gone)
}
