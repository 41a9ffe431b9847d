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
	"sync"
	"syscall"
	"testing"
	"time"

	"c10m/internal/chromium"
	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"
)

// A director is the test's end of test/scenario.mjs: it serves it, has servers and
// what is between, and does to them what the scenario asks for.
type director struct {
	t       *testing.T
	server  *servertest.Server
	guarded *servertest.Server // asks for tokens
	http    *httptest.Server
	ended   chan string // "" if all went well
	orders  chan func() // for the test's own goroutine, which alone may fail it

	mu    sync.Mutex
	rigs  []*rig
	begun []string // steps
	steps []string // that were taken
	waits []string // that are long
}

// A rig is what one step of the scenario has to itself, since all are taken side by side: a
// network, and a loopback address of the server. Browsers limit what they do at an address
// at once, and remember where a WebSocket has failed.
type rig struct {
	// Fixed after construction.
	number string
	host   string
	line   *line
	box    *middlebox
	flags  []string // of a server of its own

	// Owned by the test's goroutine.
	server *servertest.Server
}

// rigsMax is how many addresses the server has for them.
const rigsMax = 32

// secret signs the tokens of the guarded server.
const secret = "0123456789abcdef0123456789abcdef"

var serverFlags = []string{"--publish", "own", "--history", "5000", "--ping-interval", "1s", "--drain", "1s"}

func hostOf(rig int) string { return fmt.Sprintf("127.0.0.%d", 2+rig) }

// listenAt starts a server at the addresses of so many rigs, the first of which is given.
func listenAt(t *testing.T, first, rigs int, flags ...string) (*servertest.Server, []string) {
	t.Helper()
	server := &servertest.Server{Port: servertest.FreePort(t), Bus: servertest.FreePort(t), Admin: servertest.FreePort(t)}
	flags = append(flags, serverFlags...)
	for i := range rigs {
		flags = append(flags, "--listen", fmt.Sprintf("%s:%d", hostOf(first+i), server.Port))
	}
	return server.StartAgain(t, 0, flags...), flags
}

func direct(t *testing.T) *director {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &director{t: t, ended: make(chan string, 1), orders: make(chan func())}
	d.server, _ = listenAt(t, 0, rigsMax)
	d.guarded, _ = listenAt(t, 0, rigsMax, "--token-key", key)
	d.serve()
	return d
}

// rig answers with the addresses of a new one, as JSON. With own it has a server of its own.
func (d *director) rig(_ *rig, query url.Values, _ string) (answer string, err error) {
	d.inTest(func() {
		d.t.Helper()
		number := len(d.rigs)
		if number == rigsMax {
			d.t.Fatalf("the scenario has more than %d rigs", rigsMax)
		}
		r := &rig{number: strconv.Itoa(number), host: hostOf(number), server: d.server}
		if query.Has("own") {
			r.server, r.flags = listenAt(d.t, number, 1)
		}
		server := fmt.Sprintf("%s:%d", r.host, r.server.Port)
		r.line = newLine(d.t, r.host, server)
		r.box = newMiddlebox(d.t, r.host, server)
		at := map[string]string{
			"rig": r.number, "direct": "http://" + server, "guarded": fmt.Sprintf("http://%s:%d", r.host, d.guarded.Port),
			"line": r.line.url(), "box": r.box.url(),
			"noUpgrades": newProxy(d.t, r.host, server, false), "buffers": newProxy(d.t, r.host, server, true),
		}
		d.mu.Lock()
		d.rigs = append(d.rigs, r)
		d.mu.Unlock()
		var text []byte
		text, err = json.Marshal(at)
		answer = string(text)
	})
	return answer, err
}

// rigOf is the rig that a question names, nil if it names none.
func (d *director) rigOf(query url.Values) *rig {
	d.mu.Lock()
	defer d.mu.Unlock()
	number, err := strconv.Atoi(query.Get("rig"))
	if err != nil || number >= len(d.rigs) {
		return nil
	}
	return d.rigs[number]
}

func (d *director) serve() {
	pages := http.NewServeMux()
	pages.Handle("GET /", http.FileServer(http.Dir(".")))
	pages.HandleFunc("GET /-/c10m.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", javaScript)
		w.Write(module)
	})
	type answering = func(r *rig, query url.Values, body string) (string, error)
	said := func(hear func(body string)) answering {
		return func(_ *rig, _ url.Values, body string) (string, error) { hear(body); return "", nil }
	}
	done := func(do func(r *rig)) answering {
		return func(r *rig, _ url.Values, _ string) (string, error) { do(r); return "", nil }
	}
	for what, do := range map[string]answering{
		"rig":             d.rig,
		"publish":         func(r *rig, q url.Values, body string) (string, error) { return publish(r.server, q, body) },
		"publish-guarded": func(_ *rig, q url.Values, body string) (string, error) { return publish(d.guarded, q, body) },
		"order":           d.order,
		"token":           tokenFor,
		"cut":             done(func(r *rig) { r.line.cut() }),
		"heal":            done(func(r *rig) { r.line.heal() }),
		"reset":           done(func(r *rig) { r.line.reset() }),
		"box":             func(r *rig, q url.Values, _ string) (string, error) { r.box.set(q.Get("mode")); return "", nil },
		"cut-after":       cutAfter,
		"disconnect":      disconnect,
		"drain":           done(func(r *rig) { d.stop(r, syscall.SIGTERM) }),
		"kill":            done(func(r *rig) { d.stop(r, syscall.SIGKILL) }),
		"start":           done(func(r *rig) { d.inTest(func() { r.server = r.server.StartAgain(d.t, 0, r.flags...) }) }),
		"begins":          said(func(step string) { d.note(&d.begun, step) }),
		"waits":           said(func(why string) { d.note(&d.waits, why) }),
		"step":            said(func(step string) { d.note(&d.steps, step) }),
		"done":            said(func(string) { d.end("") }),
		"failed":          said(func(why string) { d.end("failed: " + why) }),
	} {
		pages.HandleFunc("POST /"+what, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			answer := ""
			if err == nil {
				answer, err = do(d.rigOf(r.URL.Query()), r.URL.Query(), string(body))
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

func (d *director) note(list *[]string, step string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*list = append(*list, step)
}

// heard counts what the scenario has said of its steps.
func (d *director) heard() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.begun) + len(d.steps) + len(d.waits)
}

// inTest has the test's goroutine do something, unless the test has ended: when a step
// fails, others are still under way.
func (d *director) inTest(do func()) {
	done := make(chan struct{})
	order := func() {
		defer close(done) // though it fails the test
		do()
	}
	select {
	case d.orders <- order:
		<-done
	case <-d.t.Context().Done():
	}
}

// end ends the wait, with what is said first.
func (d *director) end(how string) {
	select {
	case d.ended <- how:
	default:
	}
}

func (d *director) stop(r *rig, signal syscall.Signal) {
	d.inTest(func() {
		if r.server == d.server {
			d.t.Fatal("a step stops the server that others use")
		}
		r.server.Signal(signal)
		r.server.Wait()
	})
}

// publish answers with the number of receivers.
func publish(server *servertest.Server, query url.Values, payload string) (string, error) {
	bus := redis.NewClient(&redis.Options{Addr: addressOf(server.Bus)})
	defer bus.Close()
	n, err := bus.Publish(context.Background(), query.Get("channel"), payload).Result()
	return strconv.FormatInt(n, 10), err
}

func cutAfter(r *rig, query url.Values, _ string) (string, error) {
	n, err := strconv.Atoi(query.Get("bytes"))
	if err == nil {
		r.box.cutAfter(n)
	}
	return "", err
}

// disconnect has the operator disconnect a channel.
func disconnect(r *rig, query url.Values, _ string) (string, error) {
	body, err := json.Marshal(map[string]any{"channel": query.Get("channel"), "overSeconds": 0})
	if err != nil {
		return "", err
	}
	answer, err := http.Post("http://"+addressOf(r.server.Admin)+"/operator/disconnect", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("disconnect: %s", answer.Status)
	}
	return "", nil
}

func (d *director) order(r *rig, query url.Values, _ string) (string, error) {
	bus := redis.NewClient(&redis.Options{Addr: addressOf(r.server.Bus)})
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

func tokenFor(_ *rig, query url.Values, _ string) (string, error) {
	seconds, err := strconv.Atoi(query.Get("seconds"))
	if err != nil {
		return "", err
	}
	claims := jwt.MapClaims{"subscribe": query.Get("channel"), "exp": time.Now().Add(time.Duration(seconds) * time.Second).Unix()}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
}

// stepsMin are those that are taken in Node, too. A scenario without any would do well.
const stepsMin = 18

// wait does what the scenario orders until it ends. gone says that whoever runs it is
// gone, and why.
func (d *director) wait(gone func() string) {
	d.t.Helper()
	seen, hangs := 0, time.After(patience.Guard)
	for {
		// Each step has this time, not all of them.
		if n := d.heard(); n > seen {
			seen, hangs = n, time.After(patience.Guard)
		}
		select {
		case do := <-d.orders:
			do()
		case how := <-d.ended:
			d.judge(how)
			return
		case <-time.After(100 * time.Millisecond):
			if why := gone(); why != "" && len(d.ended) == 0 {
				d.t.Fatalf("it ended without a word: %s", why)
			}
		case <-hangs:
			d.judge("it hangs")
		}
	}
}

// judge fails the test unless all went well.
func (d *director) judge(how string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(d.begun), func(step string) bool { return slices.Contains(d.steps, step) })
	if how != "" {
		d.t.Fatalf("%s, after %q, while %q were taken; what was waited for: %q", how, d.steps, left, d.waits)
	}
	if len(left) > 0 || len(d.steps) < stepsMin {
		d.t.Errorf("%d steps were taken, and not %q", len(d.steps), left)
	}
	for _, step := range d.steps {
		d.t.Log(step)
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
	client := servertest.Start(t, servertest.Find(t, "node", "nodejs"), "test/node.mjs", d.http.URL, file)
	d.wait(client.Gone)
}

func TestModuleInFirefox(t *testing.T) {
	t.Parallel()
	d := direct(t)
	browser := startFirefox(t)
	browser.open(d.http.URL + "/test/page.html")
	d.wait(browser.gone)
}

func TestModuleInChromium(t *testing.T) {
	t.Parallel()
	d := direct(t)
	browser := chromium.Start(t)
	browser.Open(d.http.URL + "/test/page.html")
	d.wait(browser.Gone)
}
