/*
Package browser holds the test that opens the operator's page of a real server
under load in Chromium, and looks at and does what an operator would.

The page is worked with a real keyboard, as far as it can tell (internal/chromium),
and there is no script of ours in it but for reading what it shows.

	go test ./admin/browser -screenshots ../../docs/images

keeps the screenshots that are in the documentation, and waits until the plots have
something to show. scripts/install-test-deps installs Chromium.
*/
package browser

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/conn/reasons"
	"c10m/internal/chromium"
	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { servertest.Main(m) }

var (
	screenshots = flag.String("screenshots", "", "directory in which to keep the screenshots, after the plots have filled")
	shotsAfter  = flag.Duration("screenshots-after", time.Minute, "how long the plots fill before that")
)

// A load is a server that has something to show: three busy channels with clients of
// 10m-client, one with clients of the test's own, and one with a slow reader.
type load struct {
	server  *servertest.Server
	bus     *redis.Client
	editors []*servertest.Client
	slow    *servertest.Client
}

// quiet waits until the page has asked for nothing for some of its intervals, and
// returns how much it has asked for. What was under way may end meanwhile; a page that
// goes on asking is never quiet.
func quiet(t *testing.T, b *chromium.Browser) (asked int) {
	t.Helper()
	patience.Eventually(t, "it asks for nothing", func() bool {
		asked = len(b.Requests())
		time.Sleep(3 * time.Second)
		return len(b.Requests()) == asked
	})
	return asked
}

// strange is a name that would be HTML, if the page took it for that.
const strange = `<img src=x onerror=alert(1)>`

func startLoad(t *testing.T) *load {
	l := &load{server: servertest.StartServer(t, 0, "--send-buffer", "16KiB", "--write-deadline", "10m", "--log-bytes", "64MiB")}
	l.bus = redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", l.server.Bus)})
	t.Cleanup(func() { l.bus.Close() })
	for _, crowd := range [][]string{{"news", "1200", "2"}, {"scores/live", "400", "5"}, {"prices/emea", "150", "40"}} {
		servertest.Start(t, servertest.Binary("10m-client"), "fanout", "127.0.0.1", crowd[1], "--first-port", strconv.Itoa(l.server.Port),
			"--channel", crowd[0], "--messages-rate", crowd[2], "--duration", "1h", "--bus", fmt.Sprintf("127.0.0.1:%d", l.server.Bus))
	}
	for range 3 {
		l.editors = append(l.editors, l.server.Dial(t, "editors"))
	}
	l.server.Dial(t, "%3Cimg%20src=x%20onerror=alert(1)%3E")
	// It never reads: its own buffers fill, then it is slow.
	l.slow = l.server.Dial(t, "slow")
	payload := bytes.Repeat([]byte("x"), 256<<10)
	servertest.Eventually(t, "a reader is slow", func() bool {
		if err := l.bus.Publish(t.Context(), "slow", payload).Err(); err != nil {
			t.Fatal(err)
		}
		return l.server.Metric("c10m_blocked_members") > 0
	})
	return l
}

// cells is what the first column of a table's rows shows, as an array in JavaScript.
func cells(table string) string {
	return `[...document.querySelectorAll("#` + table + ` tbody tr td:first-child")].map(td => td.textContent)`
}

func TestTheOperatorsPage(t *testing.T) {
	l := startLoad(t)
	host := fmt.Sprintf("127.0.0.1:%d", l.server.Admin)
	b := chromium.Start(t)
	b.Screen(1280, 900, false, "light")
	b.Open("http://" + host + "/operator/")

	b.Until("the crowds are connected", `Number(document.querySelector("#tiles dd").textContent.replace(",", "")) >= 1755`)
	b.Until("the busiest channel is first", cells("busiest")+`[0] === "prices/emea"`)
	b.Until("the largest channels are in order", `JSON.stringify(`+cells("largest")+`.slice(0, 4)) === '["news","scores/live","prices/emea","editors"]'`)
	b.Until("a name that looks like HTML is text", cells("largest")+".includes("+fmt.Sprintf("%q", strange)+`) && !document.querySelector("td img")`)
	b.Until("the slow reader is named", `document.querySelector("#slow tbody td:nth-child(2)")?.textContent === "slow"`)
	b.Until("latencies are known", `document.querySelector("#tiles > div:nth-child(4) dd").textContent.startsWith("≤")`)
	b.Until("plots are drawn", `[...document.querySelectorAll("#plots svg .curve")].filter(c => c.getAttribute("d").split("L").length > 2).length >= 9`)
	b.Until("loops have connections", `[...document.querySelectorAll("#loops tbody td:nth-child(2)")].some(td => td.textContent !== "0")`)
	b.Until("the bus is up", `document.querySelector("#facts td:nth-child(2)").textContent.startsWith("up since")`)

	t.Run("a reload shows the plots again", func(t *testing.T) {
		before := b.Text(`document.querySelector("#plots svg .curve").getAttribute("d").split("L").length`)
		b.Call("Page.reload", nil, nil)
		b.Until("as much is there", `document.querySelector("#plots svg .curve")?.getAttribute("d").split("L").length >= `+before)
	})
	t.Run("a plot is read with the keys", func(t *testing.T) {
		b.Text(`document.querySelector("#plots svg").focus()`)
		b.Press("ArrowLeft", "ArrowLeft")
		b.Until("it says the time and the number", `/Connections, .*: open [\d.,]+/.test(document.activeElement.getAttribute("aria-label")) && document.querySelector("#plots svg .cross")`)
		b.Text(`document.activeElement.blur()`)
	})
	t.Run("pausing stops the questions", func(t *testing.T) {
		b.Press("p")
		b.Until("it is paused", `document.querySelector("#pause").textContent === "Go on"`)
		asked := quiet(t, b)
		b.Press("p")
		servertest.Eventually(t, "it goes on", func() bool { return len(b.Requests()) > asked })
	})
	t.Run("a hidden tab asks for nothing", func(t *testing.T) {
		var front struct{ TargetID string }
		b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &front)
		b.Until("it is hidden", `document.hidden`)
		asked := quiet(t, b)
		b.Call("Target.closeTarget", map[string]any{"targetId": front.TargetID}, nil)
		b.Call("Page.bringToFront", nil, nil)
		servertest.Eventually(t, "it goes on", func() bool { return len(b.Requests()) > asked })
	})
	takeScreenshots(t, b)
	t.Run("filter", func(t *testing.T) { filter(t, b) })
	t.Run("disconnect", func(t *testing.T) { disconnect(t, l, b) })
	t.Run("a server that is gone is not green", func(t *testing.T) {
		b.Until("the bus is up", `document.querySelector("#states .good")`)
		l.server.Signal(syscall.SIGSTOP)
		defer l.server.Signal(syscall.SIGCONT)
		b.Until("nothing is green", `!document.querySelector("#states .good") && document.querySelector("#states").textContent === "no answer"`)
		l.server.Signal(syscall.SIGCONT)
		b.Until("it is back", `document.querySelector("#states .good")`)
	})
	b.Check(host)
	if logged := b.Logged(); len(logged) > 0 {
		t.Errorf("errors in the page: %s", strings.Join(logged, "; "))
	}
}

func filter(t *testing.T, b *chromium.Browser) {
	b.Press("/", "p", "r", "i", "c", "e")
	b.Until("the filter has what was typed", `document.querySelector("#filter").value === "price"`)
	for _, table := range []string{"largest", "busiest"} {
		b.Until(table+" shows one channel", `JSON.stringify(`+cells(table)+`) === '["prices/emea"]'`)
	}
	b.Press("Escape")
	b.Text(`document.querySelector("#filter").value = "*s/*"; document.querySelector("#filter").dispatchEvent(new Event("input"))`)
	b.Until("a pattern works", `JSON.stringify(`+cells("largest")+`) === '["scores/live","prices/emea"]'`)
	b.Text(`document.querySelector("#filter").value = "nothing like it"; document.querySelector("#filter").dispatchEvent(new Event("input"))`)
	b.Until("nothing matches", `document.querySelector("#largest tbody").textContent === "no channel matches" && document.querySelector("#busiest tbody").textContent === "no busy channel matches"`)
	b.Text(`document.querySelector("#filter").value = ""; document.querySelector("#filter").dispatchEvent(new Event("input"))`)
	b.Until("all are back", cells("largest")+`.length >= 5`)
}

// disconnect closes one client, and then a channel, with the keyboard.
func disconnect(t *testing.T, l *load, b *chromium.Browser) {
	open := `[...document.querySelectorAll("#largest button")].find(b => b.textContent === "editors")`
	count := func() string { return b.Text(`document.querySelector("#channel-about").textContent`) }
	b.Until("the channel is there", open)
	b.Text(open + `.focus()`)
	b.Press("Enter")
	b.Until("its clients are listed", `document.querySelectorAll("#clients tbody button").length === 3`)

	// The second client of the list, whoever that is.
	b.Text(`document.querySelectorAll("#clients tbody button")[1].focus()`)
	b.Press("Enter")
	b.Until("it asks, with the focus on no", `document.activeElement.id === "confirm-no"`)
	b.Press("Enter")
	b.Until("nothing has happened", `!document.querySelector("#confirm").open && document.querySelectorAll("#clients tbody button").length === 3`)
	if n := l.server.Metric(`c10m_closes_total{reason="disconnected"}`); n != 0 {
		t.Fatalf("%v clients were disconnected without a yes", n)
	}
	b.Text(`document.querySelectorAll("#clients tbody button")[1].focus()`)
	b.Press("Enter")
	b.Until("it asks again", `document.querySelector("#confirm").open && document.activeElement.id === "confirm-no"`)
	b.Press("Tab")
	b.Until("yes is next", `document.activeElement.id === "confirm-yes"`)
	b.Press("Enter")
	b.Until("one is gone", `document.querySelectorAll("#clients tbody button").length === 2`)
	if n := l.server.Metric(`c10m_closes_total{reason="disconnected"}`); n != 1 {
		t.Fatalf("%v clients were disconnected, not one", n)
	}

	b.Until("the whole channel can be", `document.querySelector("#channel-about").textContent.startsWith("2 ")`)
	b.Text(`document.querySelector("#over").value = "0"; document.querySelector("#channel-disconnect").focus()`)
	b.Press("Enter")
	b.Until("it asks for all", `document.querySelector("#confirm-title").textContent === "Disconnect all 2 clients of editors?"`)
	b.Text(`document.querySelector("#confirm-yes").focus()`)
	b.Press("Enter")
	b.Until("it says what happens", `document.querySelector("#done").textContent === "2 clients of editors are being disconnected."`)
	for i, editor := range l.editors {
		editor.SetDeadline(patience.Deadline()) // plots may have filled for longer than a dial lasts
		if code := editor.CloseCode(); code != reasons.CodeDisconnected {
			t.Errorf("client %d was closed with %d, after %q", i, code, count())
		}
	}
	b.Until("the closes are listed", `document.querySelector("#recent tbody td:nth-child(2)").textContent === "disconnected"`)
	if n := l.server.Metric("c10m_connections_open"); n < 1752 {
		t.Errorf("%v connections are open: others were closed, too", n)
	}
}

// takeScreenshots looks at the page on a desk and on a phone, by day and by night,
// and keeps the pictures if it is told to. Nothing may be wider than the screen.
func takeScreenshots(t *testing.T, b *chromium.Browser) {
	if *screenshots != "" {
		time.Sleep(*shotsAfter)
	}
	for _, device := range []struct {
		name          string
		width, height int
		mobile        bool
		scheme, back  string
	}{
		{"operator", 1280, 1700, false, "light", "rgb(247, 247, 245)"},
		{"operator-dark", 1280, 1700, false, "dark", "rgb(21, 23, 26)"},
		{"operator-phone", 390, 1560, true, "dark", "rgb(21, 23, 26)"},
	} {
		b.Screen(device.width, device.height, device.mobile, device.scheme)
		b.Until("the colours are those of the scheme", `getComputedStyle(document.body).backgroundColor === "`+device.back+`"`)
		// In the end: plots are drawn again at their new width a moment later.
		wide := fmt.Sprintf(`[...document.querySelectorAll("body *")].filter(e => !e.closest(".table table, dialog") &&
			e.getBoundingClientRect().right > %d).map(e => e.outerHTML.slice(0, 80)).join("\n")`, device.width)
		b.Until("nothing on "+device.name+" is wider than the screen", wide+` === ""`)
		b.Until("nor is the page", fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, device.width))
		b.Until("the plots have their new size", `[...document.querySelectorAll("#plots svg")].every(s => s.childElementCount > 5)`)
		shot := b.Screenshot()
		if _, err := png.Decode(bytes.NewReader(shot)); err != nil {
			t.Errorf("%s: %v", device.name, err)
		}
		if *screenshots != "" {
			if err := os.WriteFile(filepath.Join(*screenshots, device.name+".png"), shot, 0o644); err != nil {
				t.Error(err)
			}
		}
	}
	b.Screen(1280, 900, false, "light")
}
