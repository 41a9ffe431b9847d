/*
Package firefox opens a page in a headless Firefox for tests, through its own debugging
port: WebDriver BiDi (W3C), JSON over a WebSocket, which needs no geckodriver.
scripts/install-test-deps installs Firefox. What hangs or fails ends the test.
*/
package firefox

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// A Browser is a Firefox with one page.
type Browser struct {
	// Fixed after construction.
	t       testing.TB
	process *servertest.Process
	conn    net.Conn
	page    string // its browsing context

	mu      sync.Mutex
	last    int
	answers map[int]chan answer
}

type answer struct {
	Type    string
	Result  json.RawMessage
	Error   string
	Message string
}

var listening = regexp.MustCompile(`WebDriver BiDi listening on (ws://\S+)`)

// preferences keep a new profile from asking anybody for anything.
const preferences = `
user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("browser.newtabpage.enabled", false);
user_pref("browser.region.update.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.healthreport.uploadEnabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.push.connection.enabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("extensions.systemAddon.update.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.dns.disablePrefetch", true);
user_pref("network.prefetch-next", false);
user_pref("services.settings.server", "data:,");
user_pref("toolkit.telemetry.enabled", false);
user_pref("toolkit.telemetry.server", "data:,");
`

// Start starts Firefox with an empty page, until the test ends.
func Start(t testing.TB) *Browser {
	t.Helper()
	profile := t.TempDir()
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(preferences), 0o600); err != nil {
		t.Fatal(err)
	}
	process := servertest.Start(t, servertest.Find(t, "firefox-esr", "firefox"), "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "about:blank")
	var address string
	servertest.Eventually(t, "Firefox listens", func() bool {
		if found := listening.FindStringSubmatch(process.Output.String()); found != nil {
			address = found[1]
		}
		return address != ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	conn, _, _, err := ws.Dial(ctx, address+"/session")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	b := &Browser{t: t, process: process, conn: conn, answers: make(map[int]chan answer)}
	go b.read()
	b.call("session.new", map[string]any{"capabilities": map[string]any{}}, nil)
	var tree struct{ Contexts []struct{ Context string } }
	b.call("browsingContext.getTree", map[string]any{}, &tree)
	if len(tree.Contexts) == 0 {
		t.Fatal("Firefox has no page")
	}
	b.page = tree.Contexts[0].Context
	return b
}

// read hands answers to who waits for them.
func (b *Browser) read() {
	for {
		text, err := wsutil.ReadServerText(b.conn)
		if err != nil {
			return // the test is over, or whoever waits will say so
		}
		var message struct {
			answer
			ID int
		}
		if json.Unmarshal(text, &message) != nil {
			continue
		}
		b.mu.Lock()
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
	b.answers[b.last] = waiting
	text, err := json.Marshal(map[string]any{"id": b.last, "method": method, "params": params})
	if err == nil {
		err = wsutil.WriteClientText(b.conn, text)
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case a := <-waiting:
		if a.Type == "error" {
			return errors.New(a.Error + ": " + a.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-time.After(patience.Guard):
		return errors.New("no answer")
	}
}

// Open goes to a page and does not wait for it.
func (b *Browser) Open(address string) {
	b.t.Helper()
	b.call("browsingContext.navigate", map[string]any{"context": b.page, "url": address, "wait": "none"}, nil)
}

// Gone says why nothing more can come from the page: Firefox has ended. "" while it runs.
func (b *Browser) Gone() string { return b.process.Gone() }
