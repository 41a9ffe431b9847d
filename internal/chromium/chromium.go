package chromium

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// hangGuard ends what hangs; it is no expectation of speed.
var hangGuard = patience.Guard

// A Browser is a Chromium with one page.
type Browser struct {
	// Fixed after construction.
	t       testing.TB
	process *servertest.Process
	conn    net.Conn

	// Owned by the test.
	front string // a tab in front of the page

	mu       sync.Mutex
	last     int
	session  string // "" while there is no page
	answers  map[int]chan answer
	requests []string
	thrown   []string
	logged   []string
}

type answer struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

var listening = regexp.MustCompile(`DevTools listening on (ws://\S+)`)

// Start starts Chromium with an empty page, until the test ends. flags are added to
// those that every test needs.
func Start(t testing.TB, flags ...string) *Browser {
	t.Helper()
	args := []string{"--headless=new", "--remote-debugging-port=0", "--user-data-dir=" + t.TempDir(), "--no-first-run",
		"--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--hide-scrollbars", "--force-color-profile=srgb"}
	args = append(args, flags...)
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox")
	}
	process := servertest.Start(t, servertest.Find(t, "chromium", "chromium-browser", "google-chrome"), append(args, "about:blank")...)
	var address string
	servertest.Eventually(t, "Chromium listens", func() bool {
		if found := listening.FindStringSubmatch(process.Output.String()); found != nil {
			address = found[1]
		}
		return address != ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), hangGuard)
	defer cancel()
	conn, _, _, err := ws.Dial(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	b := &Browser{t: t, process: process, conn: conn, answers: make(map[int]chan answer)}
	go b.read()
	b.attach()
	return b
}

// attach opens a page; commands go to it from then on.
func (b *Browser) attach() {
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.mu.Lock()
	b.session = attached.SessionID
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
}

// read hands answers to who waits for them, and notes events.
func (b *Browser) read() {
	for {
		text, err := wsutil.ReadServerText(b.conn)
		if err != nil {
			return // the test is over, or whoever waits will say so
		}
		var message struct {
			answer
			ID     int
			Method string
			Params struct {
				Request          struct{ URL string }
				ExceptionDetails struct {
					Text      string
					Exception struct{ Description string }
				}
				Entry struct{ Level, Text string }
			}
		}
		if json.Unmarshal(text, &message) != nil {
			continue // an event whose parameters have other types: none of ours
		}
		b.mu.Lock()
		switch message.Method {
		case "Network.requestWillBeSent":
			b.requests = append(b.requests, message.Params.Request.URL)
		case "Runtime.exceptionThrown":
			details := message.Params.ExceptionDetails
			b.thrown = append(b.thrown, details.Text+" "+details.Exception.Description)
		case "Log.entryAdded":
			if entry := message.Params.Entry; entry.Level == "error" {
				b.logged = append(b.logged, entry.Text)
			}
		}
		waiting := b.answers[message.ID]
		delete(b.answers, message.ID)
		b.mu.Unlock()
		if waiting != nil {
			waiting <- message.answer
		}
	}
}

// call sends a command and waits for its result, which may be nil.
func (b *Browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	if err := b.try(method, params, result); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
}

func (b *Browser) try(method string, params map[string]any, result any) error {
	waiting := make(chan answer, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.answers[id] = waiting
	command := map[string]any{"id": id, "method": method}
	if params != nil {
		command["params"] = params
	}
	// Tabs are the browser's affair, the rest is the page's.
	if b.session != "" && !strings.HasPrefix(method, "Target.") {
		command["sessionId"] = b.session
	}
	text, err := json.Marshal(command)
	if err == nil {
		err = wsutil.WriteClientText(b.conn, text)
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case a := <-waiting:
		if a.Error != nil {
			return errors.New(a.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-time.After(hangGuard):
		return errors.New("no answer")
	}
}

// Open goes to a page and does not wait for it.
func (b *Browser) Open(address string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": address}, nil)
}

// Reload loads the page again and does not wait for it.
func (b *Browser) Reload() {
	b.t.Helper()
	b.call("Page.reload", nil, nil)
}

// Hide opens a tab in front of the page, and Show closes what Hide opened.
func (b *Browser) Hide() {
	b.t.Helper()
	var front struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &front)
	b.front = front.TargetID
}

// Show brings the page to the front again.
func (b *Browser) Show() {
	b.t.Helper()
	b.call("Target.closeTarget", map[string]any{"targetId": b.front}, nil)
	b.call("Page.bringToFront", nil, nil)
}

// Text is what an expression of JavaScript comes to in the page; a promise is
// waited for. "" while there is no page, and if it throws.
func (b *Browser) Text(expression string) string {
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{}
	}
	params := map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}
	if err := b.try("Runtime.evaluate", params, &got); err != nil || got.ExceptionDetails != nil {
		return ""
	}
	return fmt.Sprint(got.Result.Value)
}

// Until waits for an expression to be true.
func (b *Browser) Until(what, expression string) {
	b.t.Helper()
	servertest.Eventually(b.t, what, func() bool { return b.Text("!!("+expression+")") == "true" })
}

// named are keys that are no characters, with their codes.
var named = map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}

// Press presses keys one after the other: a name of a key, or a character.
func (b *Browser) Press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		down := map[string]any{"type": "keyDown", "key": key}
		code, isNamed := named[key]
		switch {
		case key == "Enter":
			down["text"] = "\r"
		case !isNamed || key == " ":
			down["text"] = key
		}
		if isNamed {
			down["windowsVirtualKeyCode"], down["code"] = code, key
		}
		b.call("Input.dispatchKeyEvent", down, nil)
		down["type"] = "keyUp"
		delete(down, "text")
		b.call("Input.dispatchKeyEvent", down, nil)
	}
}

// Screen gives the page a device's screen: pixels, a phone or not, light or dark.
func (b *Browser) Screen(width, height int, isPhone bool, scheme string) {
	b.t.Helper()
	scale := 1
	if isPhone {
		scale = 2
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": scale, "mobile": isPhone}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]any{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Screenshot is a PNG of what the screen shows.
func (b *Browser) Screenshot() []byte {
	b.t.Helper()
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}

// Gone says why nothing more can come from the page: Chromium has ended, or an
// exception that nobody caught. "" while all is well.
func (b *Browser) Gone() string {
	if why := b.process.Gone(); why != "" {
		return why
	}
	return strings.Join(b.Thrown(), "\n")
}

// Thrown are the exceptions that nobody caught in the page.
func (b *Browser) Thrown() []string { return b.copy(&b.thrown) }

// Logged are the errors that the browser itself wrote to the page's console: what did
// not load, what a policy forbids.
func (b *Browser) Logged() []string { return b.copy(&b.logged) }

// Requests are the addresses that the page has asked for.
func (b *Browser) Requests() []string { return b.copy(&b.requests) }

func (b *Browser) copy(list *[]string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(*list)
}

// Check fails the test if the page threw an exception, or has asked anything of
// anybody but these hosts (each host:port), or has asked for nothing at all.
func (b *Browser) Check(hosts ...string) {
	b.t.Helper()
	if thrown := b.Thrown(); len(thrown) > 0 {
		b.t.Errorf("exceptions in the page: %s", strings.Join(thrown, "; "))
	}
	requests := b.Requests()
	if len(requests) == 0 {
		b.t.Error("the page asked for nothing at all")
	}
	for _, request := range requests {
		at, err := url.Parse(request)
		if err != nil || at.Scheme != "data" && at.Scheme != "about" && !slices.Contains(hosts, at.Host) {
			b.t.Errorf("the page asks for %s", request)
		}
	}
}
