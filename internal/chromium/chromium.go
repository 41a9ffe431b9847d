// Package chromium drives a headless Chromium for tests of pages, through its debugging
// port (the Chrome DevTools Protocol): a real keyboard and a real screen, as far as the
// page can tell. scripts/install-test-deps installs Chromium. What hangs or fails ends the
// test.
package chromium

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"c10m/internal/devtools"
	"c10m/internal/servertest"
)

// A Browser is a Chromium with one page.
type Browser struct {
	// Fixed after construction.
	t       testing.TB
	process *servertest.Process
	session *devtools.Session

	// Shared: atomic.
	page atomic.Pointer[string] // nil while there is none

	// Guarded by mu.
	mu       sync.Mutex
	requests []string
	thrown   []string
	logged   []string
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
	b := &Browser{t: t, process: process}
	b.session = devtools.Open(t, process, listening, "", b.note)
	var target struct{ TargetID string }
	b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.page.Store(&attached.SessionID)
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		b.Call(domain+".enable", nil, nil)
	}
	return b
}

// note notes what happens in the page.
func (b *Browser) note(text []byte) {
	var event struct {
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
	if json.Unmarshal(text, &event) != nil {
		return // its parameters have other types: none of ours
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch event.Method {
	case "Network.requestWillBeSent":
		b.requests = append(b.requests, event.Params.Request.URL)
	case "Runtime.exceptionThrown":
		details := event.Params.ExceptionDetails
		b.thrown = append(b.thrown, details.Text+" "+details.Exception.Description)
	case "Log.entryAdded":
		if entry := event.Params.Entry; entry.Level == "error" {
			b.logged = append(b.logged, entry.Text)
		}
	}
}

// Call sends a command of the protocol and waits for its result, which may be nil.
func (b *Browser) Call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.session.Call(b.command(method, params), result)
}

func (b *Browser) command(method string, params map[string]any) map[string]any {
	command := map[string]any{"method": method}
	if params != nil {
		command["params"] = params
	}
	// Tabs are the browser's affair, the rest is the page's.
	if page := b.page.Load(); page != nil && !strings.HasPrefix(method, "Target.") {
		command["sessionId"] = *page
	}
	return command
}

// Open goes to a page and does not wait for it.
func (b *Browser) Open(address string) {
	b.t.Helper()
	b.Call("Page.navigate", map[string]any{"url": address}, nil)
}

// Text is what an expression of JavaScript comes to in the page; a promise is
// waited for. "" while there is no page, and if it throws.
func (b *Browser) Text(expression string) string {
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{}
	}
	params := map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}
	if err := b.session.Try(b.command("Runtime.evaluate", params), &got); err != nil || got.ExceptionDetails != nil {
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
		b.Call("Input.dispatchKeyEvent", down, nil)
		down["type"] = "keyUp"
		delete(down, "text")
		b.Call("Input.dispatchKeyEvent", down, nil)
	}
}

// Screen gives the page a device's screen: pixels, a phone or not, light or dark.
func (b *Browser) Screen(width, height int, isPhone bool, scheme string) {
	b.t.Helper()
	scale := 1
	if isPhone {
		scale = 2
	}
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": scale, "mobile": isPhone}, nil)
	b.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]any{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Screenshot is a PNG of what the screen shows.
func (b *Browser) Screenshot() []byte {
	b.t.Helper()
	var shot struct{ Data string }
	b.Call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
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
