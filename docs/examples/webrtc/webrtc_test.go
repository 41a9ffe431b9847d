// Package webrtc tests the example beside it in browsers.
package webrtc

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"c10m/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// Two browsers agree on a data channel through the server, and the message of each
// reaches the other.
func TestDataChannel(t *testing.T) {
	s := servertest.StartServer(t, 0, "--publish", "own")
	pages := httptest.NewServer(http.FileServer(http.Dir(".")))
	t.Cleanup(pages.Close)
	page := fmt.Sprintf("%s/?server=ws://127.0.0.1:%d", pages.URL, s.Port)
	bob := browse(t, page+"&me=bob%20b/1")
	servertest.Eventually(t, "bob is there", func() bool { return s.Metric(`c10m_two_way_memberships`) == 1 })
	alice := browse(t, page+"&me=alice&call=bob%20b/1")
	for _, one := range []struct {
		who  string
		at   *servertest.Process
		want string
	}{{"alice", alice, "bob b/1: hello from bob b/1"}, {"bob", bob, "alice: hello from alice"}} {
		servertest.Eventually(t, one.who+" has the other's message", func() bool {
			return slices.Contains(titles(t, one.at), one.want)
		})
	}
}

// browse opens a page in a browser of its own.
func browse(t *testing.T, url string) *servertest.Process {
	t.Helper()
	for _, program := range []string{"chromium", "chromium-browser", "google-chrome"} {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		args := []string{"--headless=new", "--remote-debugging-port=0", "--user-data-dir=" + t.TempDir(), "--no-first-run",
			"--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
			// There is no multicast DNS here to find a host by the name that a
			// browser gives instead of its address, nor perhaps another network.
			"--disable-features=WebRtcHideLocalIpsWithMdns", "--allow-loopback-in-peer-connection"}
		if os.Geteuid() == 0 {
			args = append(args, "--no-sandbox")
		}
		return servertest.Start(t, path, append(args, url)...)
	}
	t.Fatal("chromium is not there: run make test, which installs it")
	return nil
}

var devTools = regexp.MustCompile(`DevTools listening on ws://([^/\s]+)/`)

// titles are those of the pages of a browser (Chrome DevTools Protocol, /json/list).
func titles(t *testing.T, browser *servertest.Process) (all []string) {
	t.Helper()
	if browser.Ended() {
		t.Fatalf("the browser ended:\n%s", browser.Output.String())
	}
	found := devTools.FindStringSubmatch(browser.Output.String())
	if found == nil {
		return nil
	}
	response, err := http.Get("http://" + found[1] + "/json/list")
	if err != nil {
		return nil // not yet
	}
	defer response.Body.Close()
	var pages []struct{ Title string }
	if err := json.NewDecoder(response.Body).Decode(&pages); err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		all = append(all, page.Title)
	}
	return all
}
