// Package webrtc tests the example beside it in browsers.
package webrtc

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"c10m/internal/chromium"
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
	alice.Until("alice has bob's message", `document.title === "bob b/1: hello from bob b/1"`)
	bob.Until("bob has alice's message", `document.title === "alice: hello from alice"`)
}

// browse opens a page in a browser of its own.
func browse(t *testing.T, url string) *chromium.Browser {
	t.Helper()
	// There is no multicast DNS here to find a host by the name that a browser gives
	// instead of its address, nor perhaps another network.
	b := chromium.Start(t, "--disable-features=WebRtcHideLocalIpsWithMdns", "--allow-loopback-in-peer-connection")
	b.Open(url)
	return b
}
