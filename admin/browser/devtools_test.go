package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// hangGuard ends what hangs; it is no expectation of speed.
const hangGuard = 90 * time.Second

// A browser is a Chromium and one page in it.
type browser struct {
	t    *testing.T
	conn net.Conn

	mu      sync.Mutex
	last    int
	session string
	answers map[int]chan answer
	// What the page asked for, and what went wrong in it.
	requests []string
	errors   []string
}

type answer struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

var listening = regexp.MustCompile(`DevTools listening on (ws://\S+)`)

// startBrowser starts Chromium with an empty page.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	args := []string{"--headless=new", "--remote-debugging-port=0", "--user-data-dir=" + t.TempDir(), "--no-first-run",
		"--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--hide-scrollbars", "--force-color-profile=srgb", "about:blank"}
	if os.Geteuid() == 0 {
		args = append([]string{"--no-sandbox"}, args...)
	}
	process := servertest.Start(t, lookFor(t, "chromium", "chromium-browser", "google-chrome"), args...)
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
	b := &browser{t: t, conn: conn, answers: make(map[int]chan answer)}
	go b.read()
	var target struct{ TargetID string }
	b.callBrowser("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.callBrowser("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.mu.Lock()
	b.session = attached.SessionID
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// lookFor finds one of several programs, or says what installs it.
func lookFor(t *testing.T, programs ...string) string {
	t.Helper()
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not there: run make test, which installs it", programs[0])
	return ""
}

// read hands answers to who waits for them, and notes events.
func (b *browser) read() {
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
		switch p := &message.Params; message.Method {
		case "Network.requestWillBeSent":
			b.requests = append(b.requests, p.Request.URL)
		case "Runtime.exceptionThrown":
			b.errors = append(b.errors, p.ExceptionDetails.Text+" "+p.ExceptionDetails.Exception.Description)
		case "Log.entryAdded":
			if p.Entry.Level == "error" {
				b.errors = append(b.errors, p.Entry.Text)
			}
		}
		if waiting := b.answers[message.ID]; waiting != nil {
			delete(b.answers, message.ID)
			waiting <- message.answer
		}
		b.mu.Unlock()
	}
}

// call sends a command and waits for its result.
func (b *browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	if err := b.try(b.page(), method, params, result); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
}

// callBrowser is call for what is about the browser and not about the page.
func (b *browser) callBrowser(method string, params map[string]any, result any) {
	b.t.Helper()
	if err := b.try("", method, params, result); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
}

// page is the session of the page, once there is one.
func (b *browser) page() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.session
}

func (b *browser) try(session, method string, params map[string]any, result any) error {
	b.mu.Lock()
	b.last++
	id, waiting := b.last, make(chan answer, 1)
	b.answers[id] = waiting
	command := map[string]any{"id": id, "method": method}
	if params != nil {
		command["params"] = params
	}
	if session != "" {
		command["sessionId"] = session
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

// open goes to a page.
func (b *browser) open(address string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": address}, nil)
}

// text evaluates an expression of JavaScript in the page, which must be a string.
func (b *browser) text(expression string) string {
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	err := b.try(b.page(), "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &got)
	if err != nil {
		return "" // the page is being replaced by another
	}
	return fmt.Sprint(got.Result.Value)
}

// until waits for an expression to be true.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	servertest.Eventually(b.t, what, func() bool { return b.text("!!("+expression+")") == "true" })
	b.t.Log(what)
}

// press presses keys one after the other: a name of a key, or a character.
func (b *browser) press(keys ...string) {
	b.t.Helper()
	codes := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
	for _, key := range keys {
		down := map[string]any{"type": "keyDown", "key": key}
		if code, named := codes[key]; named {
			down["windowsVirtualKeyCode"], down["code"] = code, key
			if key == "Enter" {
				down["text"] = "\r"
			}
		} else {
			down["text"] = key
		}
		b.call("Input.dispatchKeyEvent", down, nil)
		down["type"] = "keyUp"
		delete(down, "text")
		b.call("Input.dispatchKeyEvent", down, nil)
	}
}

// screen makes the page as wide and high as a device's screen, light or dark.
func (b *browser) screen(width, height int, mobile bool, scheme string) {
	b.t.Helper()
	scale := 1
	if mobile {
		scale = 2
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]any{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// screenshot is a PNG of what the screen shows.
func (b *browser) screenshot() []byte {
	b.t.Helper()
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}

// check fails if the page asked anybody but its server for anything, or if
// something went wrong in it.
func (b *browser) check(server string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, request := range b.requests {
		if at, err := url.Parse(request); err != nil || at.Scheme != "data" && at.Scheme != "about" && at.Host != server {
			b.t.Errorf("the page asks for %s", request)
		}
	}
	if len(b.requests) == 0 {
		b.t.Error("the page asked for nothing at all")
	}
	if len(b.errors) > 0 {
		b.t.Errorf("errors in the page: %s", strings.Join(b.errors, "; "))
	}
}
