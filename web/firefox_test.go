package web

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"c10m/internal/devtools"
	"c10m/internal/servertest"
)

// A firefox is a headless Firefox with one page, which is driven through its own debugging
// port: WebDriver BiDi (W3C), JSON over a WebSocket, which needs no geckodriver. What hangs
// or fails ends the test.
type firefox struct {
	// Fixed after construction.
	t       testing.TB
	process *servertest.Process
	session *devtools.Session
	page    string // its browsing context
}

var firefoxListening = regexp.MustCompile(`WebDriver BiDi listening on (ws://\S+)`)

// firefoxPreferences keep a new profile from asking anybody for anything.
const firefoxPreferences = `
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

// startFirefox starts Firefox with an empty page, until the test ends.
func startFirefox(t testing.TB) *firefox {
	t.Helper()
	profile := t.TempDir()
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPreferences), 0o600); err != nil {
		t.Fatal(err)
	}
	process := servertest.Start(t, servertest.Find(t, "firefox-esr", "firefox"), "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "about:blank")
	b := &firefox{t: t, process: process, session: devtools.Open(t, process, firefoxListening, "/session", nil)}
	b.call("session.new", map[string]any{"capabilities": map[string]any{}}, nil)
	var tree struct{ Contexts []struct{ Context string } }
	b.call("browsingContext.getTree", map[string]any{}, &tree)
	if len(tree.Contexts) == 0 {
		t.Fatal("Firefox has no page")
	}
	b.page = tree.Contexts[0].Context
	return b
}

// call sends a command and waits for its result, which may be nil.
func (b *firefox) call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.session.Call(map[string]any{"method": method, "params": params}, result)
}

// open goes to a page and does not wait for it.
func (b *firefox) open(address string) {
	b.t.Helper()
	b.call("browsingContext.navigate", map[string]any{"context": b.page, "url": address, "wait": "none"}, nil)
}

// gone says why nothing more can come from the page: Firefox has ended. "" while it runs.
func (b *firefox) gone() string { return b.process.Gone() }
