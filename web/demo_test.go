package web

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/internal/chromium"
	"c10m/internal/servertest"

	"github.com/golang-jwt/jwt/v5"
)

var screenshots = flag.String("screenshots", "", "directory in which to keep the pictures of the demo page")

// A demoPage is the demo page of a real server, in Chromium.
type demoPage struct {
	t       *testing.T
	server  *servertest.Server
	guarded *servertest.Server // asks for tokens
	browser *chromium.Browser
}

func (d *demoPage) url() string { return "http://" + addressOf(d.server.Port) }

// shows waits until a pane's newest message is this.
func (d *demoPage) shows(pane, message string) {
	d.t.Helper()
	d.browser.Until(fmt.Sprintf("pane %s shows %q", pane, message),
		fmt.Sprintf(`document.querySelector("#pane-%s .log li:not(.told) .text")?.textContent === %q`, pane, message))
}

// isOpen waits until a pane says that it is open, and by which transport.
func (d *demoPage) isOpen(pane, transport string) {
	d.t.Helper()
	d.browser.Until(fmt.Sprintf("pane %s is open by %s", pane, transport),
		fmt.Sprintf(`document.querySelector("#pane-%s .state").textContent === "open: %s"`, pane, transport))
}

// choose picks a transport of a pane with the keyboard: the arrows go round.
func (d *demoPage) choose(pane, value string) {
	d.t.Helper()
	d.browser.Text(fmt.Sprintf(`document.querySelector("#pane-%s [type=radio]:checked").focus()`, pane))
	for d.browser.Text(`document.activeElement.value`) != value {
		d.browser.Press("ArrowDown")
	}
}

// fill puts text in place of what a field has, and presses Enter.
func (d *demoPage) fill(field, text string) {
	d.t.Helper()
	d.browser.Text(fmt.Sprintf(`{ const f = document.querySelector(%q); f.focus(); f.select(); f.value = ""; f.value = %q; f.dispatchEvent(new Event("input", { bubbles: true })); }`, field, text))
	d.browser.Press("Enter")
}

func (d *demoPage) answers(start string) {
	d.t.Helper()
	d.browser.Until("the answer is "+start, fmt.Sprintf(`document.querySelector("#answer").textContent.startsWith(%q)`, start))
}

func (d *demoPage) gaps(pane string) string {
	return d.browser.Text(fmt.Sprintf(`document.querySelector("#pane-%s .gaps").textContent`, pane))
}

func TestDemo(t *testing.T) {
	t.Parallel()
	d := &demoPage{t: t, server: servertest.StartServer(t, 0, "--demo")}
	d.browser = chromium.Start(t)
	d.browser.Screen(1100, 860, false, "light")
	d.browser.Open(d.url() + "/-/demo")
	d.isOpen("a", "WebSocket")
	d.isOpen("b", "WebSocket")

	d.everyWayIn()
	d.everyWayOut()
	d.picture()
	d.restart()
	d.tokens()
	second := d.anotherServer()
	d.screens()
	d.browser.Check(addressOf(d.server.Port), addressOf(second.Port), addressOf(d.guarded.Port), "127.0.0.1:1")
}

// everyWayIn: the button, a pane, redis-cli and POST reach both panes.
func (d *demoPage) everyWayIn() {
	d.browser.Text(`document.querySelector("#post").focus()`)
	d.browser.Press("Enter")
	d.answers("Published to 2 connections")
	d.shows("a", "API: hello")
	d.shows("b", "API: hello")
	d.browser.Until("its latency is shown", `/^\d+(\.\d)? ms$/.test(document.querySelector("#pane-b .last").textContent)`)

	d.browser.Text(`document.querySelector("#pane-a .words").focus()`)
	d.browser.Press("h", "i", " ", "b", "Enter")
	d.shows("b", "A: hi b")
	d.browser.Until("who said it sees it as his", `document.querySelector("#pane-a .log li").className === "mine" && document.querySelector("#pane-b .log li").className === ""`)

	servertest.RedisCLI(d.t, d.server.Bus, "PUBLISH", "news", `<img src=x onerror=alert(1)>`)
	d.shows("a", `<img src=x onerror=alert(1)>`)
	answer, err := http.Post(d.url()+"/news", "text/plain", strings.NewReader("by curl"))
	if err != nil {
		d.t.Fatal(err)
	}
	answer.Body.Close()
	d.shows("a", "by curl")
	d.shows("b", "by curl")
}

// everyWayOut: each transport can be chosen, hears the others and is heard.
func (d *demoPage) everyWayOut() {
	for _, way := range []struct{ value, name string }{{"websocket", "WebSocket"}, {"poll", "long-poll"}, {"sse", "events (SSE)"}} {
		d.choose("b", way.value)
		d.isOpen("b", way.name)
		d.fill("#pane-a .words", "to "+way.value)
		d.shows("b", "A: to "+way.value)
		d.fill("#pane-b .words", "from "+way.value)
		d.shows("a", "B: from "+way.value)
	}
}

func (d *demoPage) picture() {
	for _, text := range []string{"one million", "five million", "ten million"} {
		d.fill("#text", text)
		d.shows("a", "API: "+text)
		d.shows("b", "API: "+text)
	}
	d.browser.Text(`document.activeElement.blur()`)
	d.keep("demo")
}

func (d *demoPage) keep(name string) {
	shot := d.browser.Screenshot()
	if _, err := png.Decode(bytes.NewReader(shot)); err != nil {
		d.t.Errorf("%s: %v", name, err)
	}
	if *screenshots == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), shot, 0o644); err != nil {
		d.t.Error(err)
	}
}

// restart kills the server, starts it again, and both panes go on and say that
// something may be missing.
func (d *demoPage) restart() {
	before := map[string]string{"a": d.gaps("a"), "b": d.gaps("b")}
	d.server.Signal(syscall.SIGKILL)
	d.server.Wait()
	for pane := range before {
		d.browser.Until("pane "+pane+" notices", fmt.Sprintf(`document.querySelector("#pane-%s .state").dataset.state !== "open"`, pane))
	}
	d.fill("#text", "nobody is there")
	d.answers("The server does not answer")
	d.server = d.server.StartAgain(d.t, 0, "--demo")
	d.isOpen("a", "WebSocket")
	d.isOpen("b", "events (SSE)")
	for pane, gaps := range before {
		d.browser.Until("pane "+pane+" tells of the gap", fmt.Sprintf(`document.querySelector("#pane-%s .gaps").textContent !== %q`, pane, gaps))
	}
	for pane := range before {
		told := fmt.Sprintf(`[...document.querySelectorAll("#pane-%s .told.gap .text")].map(e => e.textContent).join("|")`, pane)
		if text := d.browser.Text(told); text != "Messages may be missing here." {
			d.t.Errorf("pane %s tells of one gap: %q", pane, text)
		}
	}
	d.fill("#text", "back again")
	d.shows("a", "API: back again")
	d.shows("b", "API: back again")
}

// tokens: a server that asks for one is told it by the field, in panes and by POST.
func (d *demoPage) tokens() {
	key := filepath.Join(d.t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(secret), 0o600); err != nil {
		d.t.Fatal(err)
	}
	guarded := servertest.StartServer(d.t, 0, "--token-key", key, "--demo")
	claims := jwt.MapClaims{"subscribe": "*", "publish": "*", "exp": time.Now().Add(time.Hour).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		d.t.Fatal(err)
	}
	page := d.browser
	page.Open("http://" + addressOf(guarded.Port) + "/-/demo")
	page.Until("it says what is missing", `document.querySelector("#pane-a .state")?.textContent.startsWith("closed: A token is needed")`)
	page.Until("an empty log says so", `getComputedStyle(document.querySelector("#pane-a .log"), "::before").content.startsWith('"Nothing yet')`)
	d.fill("#token", token)
	d.fill("#text", "with a token")
	d.isOpen("a", "WebSocket")
	d.fill("#text", "with a token")
	d.answers("Published to ")
	d.shows("a", "API: with a token")
	page.Open("http://" + addressOf(guarded.Port) + "/-/demo?a=http://127.0.0.1:1")
	page.Until("an address where nobody is", `document.querySelector("#pane-a .state")?.textContent.includes("again in")`)
	if state := page.Text(`document.querySelector("#pane-a .state").textContent`); strings.Contains(state, "fetch") || strings.Contains(state, "NetworkError") {
		d.t.Errorf("a pane says %q", state)
	}
	page.Open(d.url() + "/-/demo")
	d.isOpen("a", "WebSocket")
	d.choose("b", "sse")
	d.isOpen("b", "events (SSE)")
	d.guarded = guarded
}

// anotherServer: pane B moves to a second server, which shares the first one's bus and
// lets nobody publish.
func (d *demoPage) anotherServer() *servertest.Server {
	second := servertest.StartServer(d.t, 0, "--bus", "redis://"+addressOf(d.server.Bus))
	servertest.Eventually(d.t, "the second server is healthy", second.Healthy)
	other := "http://" + addressOf(second.Port)
	d.fill("#pane-b .url", other)
	d.isOpen("b", "events (SSE)")
	d.fill("#pane-a .words", "to another server")
	d.shows("b", "A: to another server")
	d.fill("#server", other)
	d.browser.Until("it says how to allow it", `document.querySelector("#answer.bad")?.textContent.includes("--demo")`)
	d.fill("#server", d.url())
	d.answers("Published to ")
	return second
}

// screens: by day and by night, on a desk and on a phone, nothing is wider than the
// screen.
func (d *demoPage) screens() {
	for _, screen := range []struct {
		name          string
		width, height int
		isPhone       bool
		scheme, page  string
	}{
		{"demo-dark", 1100, 860, false, "dark", "rgb(20, 23, 27)"},
		{"demo-phone", 390, 844, true, "light", "rgb(244, 245, 247)"},
	} {
		d.browser.Screen(screen.width, screen.height, screen.isPhone, screen.scheme)
		d.browser.Until("the page has the scheme's colours", fmt.Sprintf(`getComputedStyle(document.body).backgroundColor === %q`, screen.page))
		d.browser.Until("nothing is wider than the screen", fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, screen.width))
		d.browser.Until("what is pressed is large enough for a finger",
			`[...document.querySelectorAll("button, input:not([type=radio], [type=checkbox]), fieldset label")].every(e => e.getBoundingClientRect().height >= 35)`)
		d.keep(screen.name)
	}
}
