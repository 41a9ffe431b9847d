package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/channel"
	"c10m/conn/operator"
	"c10m/conn/reasons"
)

func itoa(n int) string { return strconv.Itoa(n) }

// fakeOperator says what a test told it to, and remembers what it was asked.
type fakeOperator struct {
	looks   []*operator.Look
	found   []*channel.Surveyed
	clients []operator.Client
	err     error
	silent  []int

	mu    sync.Mutex
	asked []string
}

func (f *fakeOperator) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

func (f *fakeOperator) Silent(context.Context) []int {
	f.note("silent")
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.silent
}

func (f *fakeOperator) Look(context.Context) []*operator.Look { f.note("look"); return f.looks }

func (f *fakeOperator) Survey(_ context.Context, match func(string) bool) []*channel.Surveyed {
	f.note("survey all=%t user/7=%t", match == nil, match != nil && match("user/7"))
	return f.found
}

func (f *fakeOperator) Clients(_ context.Context, name string) ([]operator.Client, int) {
	return f.clients, len(f.clients)
}

func (f *fakeOperator) Disconnect(_ context.Context, id operator.ClientID) (bool, error) {
	f.note("disconnect %d/%d/%d", id.Loop, id.FD, id.Generation)
	return id.FD != 404, f.err
}

func (f *fakeOperator) DisconnectChannel(_ context.Context, name string, over time.Duration) (int, error) {
	f.note("disconnect %s over %v", name, over)
	return 3, f.err
}

// takeAsked returns what was asked, and forgets it.
func (f *fakeOperator) takeAsked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

func startOperator(t *testing.T) (*Server, *fakeOperator, Sources) {
	sources, _ := newSources(2)
	fake := &fakeOperator{}
	sources.Operator = fake
	return start(t, sources), fake, sources
}

// answerTo makes a request with these headers, "Name: value", and returns its
// status and body.
func answerTo(t *testing.T, s *Server, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+s.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			request.Host = value
		}
		request.Header.Set(name, value)
	}
	response, text := answerOf(t, request)
	return response.StatusCode, text
}

const asJSON = "Content-Type: application/json"

func TestOperatorsFiles(t *testing.T) {
	s, _, _ := startOperator(t)
	for path, kind := range map[string]string{
		"/operator/": "text/html", "/operator/page.js": "text/javascript", "/operator/plot.js": "text/javascript", "/operator/look.css": "text/css",
	} {
		response, body := ask(t, s, "GET", path)
		if response.StatusCode != 200 || !strings.HasPrefix(response.Header.Get("Content-Type"), kind) || len(body) < 1000 {
			t.Errorf("%s: %d %s, %d bytes", path, response.StatusCode, response.Header.Get("Content-Type"), len(body))
		}
		for _, outside := range []string{"http://", "https://", "//cdn"} {
			body := strings.ReplaceAll(body, "http://www.w3.org/2000/svg", "")
			if strings.Contains(body, outside) {
				t.Errorf("%s names something outside (%s)", path, outside)
			}
		}
		policy := response.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
	for path, want := range map[string]int{"/operator": 200, "/operator/nothing": 404, "/operator/../limits.go": 404} {
		if response, _ := ask(t, s, "GET", path); response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
	}
	if response, _ := ask(t, s, "POST", "/operator/state"); response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", response.StatusCode)
	}
}

// The state puts together what the loops say, and asks them once however many look.
func TestOperatorsState(t *testing.T) {
	s, fake, sources := startOperator(t)
	at := netip.MustParseAddrPort("10.0.0.1:4711")
	fake.looks = []*operator.Look{
		{
			Slowest: []operator.SlowClient{{Client: operator.Client{ClientID: operator.ClientID{Loop: 0, FD: 7, Generation: 9}, Peer: at, Channel: "a", IsBlocked: true}, Behind: 3, Since: 2 * time.Second}},
			Closes:  []reasons.Close{{NanosAgo: 3e9, Reason: reasons.ClientGone, Channel: "a"}},
			Busiest: []channel.Busy{{Channel: "a", Members: 10, Messages: 4, Deliveries: 40}, {Channel: "b", Members: 1, Messages: 6, Deliveries: 6}}, BusyNanos: 2e9,
		},
		{
			Slowest: []operator.SlowClient{{Client: operator.Client{Channel: "b"}, Since: 5 * time.Second}},
			Closes:  []reasons.Close{{NanosAgo: 1e9, Reason: reasons.Disconnected, Channel: "b"}},
			Busiest: []channel.Busy{{Channel: "b", Members: 30, Messages: 3, Deliveries: 90}}, BusyNanos: 1e9,
		},
	}
	sources.Loops[0].Conn.Closes[reasons.ClientGone].Add(4)
	sources.Loops[1].Conn.Open.Add(12)
	var state stateAnswer
	for range 3 {
		status, text := answerTo(t, s, "GET", "/operator/state?since=0", "")
		var raw struct{ Samples [][]*float64 }
		if status != 200 || json.Unmarshal([]byte(text), &raw) != nil {
			t.Fatalf("%d %s", status, text)
		}
		state = stateAnswer{}
		withoutSamples := struct {
			*stateAnswer
			Samples [][]*float64 `json:"samples"`
		}{stateAnswer: &state}
		if err := json.Unmarshal([]byte(text), &withoutSamples); err != nil {
			t.Fatal(err)
		}
	}
	if asked := fake.takeAsked(); len(asked) != 1 {
		t.Errorf("the loops were asked %v", asked)
	}
	look := state.Look
	if look.Silent != 0 || len(look.Slowest) != 2 || look.Slowest[0].Channel != "b" || look.Slowest[1].Peer != at || look.Slowest[1].FD != 7 || look.Slowest[1].Behind != 3 {
		t.Errorf("slow are %+v", look.Slowest)
	}
	if len(look.Recent) != 2 || look.Recent[0].Reason != "disconnected" || look.Recent[1].SecondsAgo != 3 {
		t.Errorf("closed were %+v", look.Recent)
	}
	if want := []busyAnswer{{"b", 31, 3, 93, 0}, {"a", 10, 2, 20, 0}}; !slices.Equal(look.Busiest, want) {
		t.Errorf("busy are %+v, want %+v", look.Busiest, want)
	}
	if state.Connections != 12 || !slices.Equal(state.Closes.Reasons, []closeReason{{"client_gone", 4, 4}}) || !state.Bus.Up || len(state.Loops) != 2 {
		t.Errorf("%+v", state)
	}
	fake.looks = fake.looks[:1]
	if silent := newLookAnswer(fake.looks, 2).Silent; silent != 1 {
		t.Errorf("%d loops are silent", silent)
	}
}

// Channels are sums over the loops; a sum may be short if a loop has more than it
// named.
func TestOperatorsChannels(t *testing.T) {
	s, fake, _ := startOperator(t)
	fake.found = []*channel.Surveyed{
		{Channels: 3, Members: 12, Largest: []channel.Sized{{Channel: "a", Members: 6}, {Channel: "b", Members: 4}}, Nanos: 1e6},
		{Channels: 1, Members: 5, Largest: []channel.Sized{{Channel: "b", Members: 5}}, Nanos: 2e6},
	}
	const want = `{"channels":4,"connections":17,"largest":[{"channel":"b","connections":9,"atLeast":false},{"channel":"a","connections":6,"atLeast":false}],"loopSeconds":0.002,"silent":0}` + "\n"
	for range 2 {
		if status, text := answerTo(t, s, "GET", "/operator/channels", ""); status != 200 || text != want {
			t.Errorf("%d %s", status, text)
		}
	}
	answerTo(t, s, "GET", "/operator/channels?match=user/*", "")
	answerTo(t, s, "GET", "/operator/channels?match=other", "")
	if asked := fake.takeAsked(); !slices.Equal(asked, []string{"survey all=true user/7=false", "survey all=false user/7=true", "survey all=false user/7=false"}) {
		t.Errorf("the loops were asked %v", asked)
	}
	if status, _ := answerTo(t, s, "GET", "/operator/channels?match="+strings.Repeat("x", listPatternBytesMax+1), ""); status != 400 {
		t.Errorf("a long pattern: %d", status)
	}
	// The first loop has a third channel that it does not name: it may be c.
	fake.found[1].Largest[0].Channel = "c"
	for _, c := range newSurveyAnswer(fake.found, 2).Largest {
		if c.AtLeast != (c.Channel == "c") {
			t.Errorf("%+v", c)
		}
	}
	for _, c := range newSurveyAnswer(fake.found, 3).Largest {
		if !c.AtLeast {
			t.Errorf("a loop is silent: %+v", c)
		}
	}
}

func TestOperatorsClients(t *testing.T) {
	s, fake, _ := startOperator(t)
	for i := range clientsShownMax + 5 {
		fake.clients = append(fake.clients, operator.Client{ClientID: operator.ClientID{Loop: 1, FD: uint32(i), Generation: 2}, Channel: "a/b c"})
	}
	status, text := answerTo(t, s, "GET", "/operator/clients?channel=a%2Fb+c", "")
	var answer clientsAnswer
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if answer.Channel != "a/b c" || answer.Connections != len(fake.clients) || len(answer.Clients) != clientsShownMax || !strings.Contains(text, `{"loop":1,"fd":3,"generation":2,"peer":"","channel":"a/b c","blocked":false}`) {
		t.Errorf("%+v", answer)
	}
	for _, name := range []string{"", "-/own", "%ff"} {
		if status, text := answerTo(t, s, "GET", "/operator/clients?channel="+name, ""); status != 400 {
			t.Errorf("%q: %d %s", name, status, text)
		}
	}
}

func TestOperatorDisconnects(t *testing.T) {
	s, fake, _ := startOperator(t)
	for _, c := range []struct {
		body, asked, answer string
	}{
		{`{"client":{"loop":1,"fd":2,"generation":3}}`, "disconnect 1/2/3", `{"clients":1}`},
		{`{"client":{"loop":1,"fd":404,"generation":3}}`, "disconnect 1/404/3", `{"clients":0}`},
		{`{"channel":"news","overSeconds":1.5}`, "disconnect news over 1.5s", `{"clients":3}`},
		{`{"channel":"news"}`, "disconnect news over 0s", `{"clients":3}`},
	} {
		status, text := answerTo(t, s, "POST", "/operator/disconnect", c.body, asJSON)
		if asked := fake.takeAsked(); status != 200 || strings.TrimSpace(text) != c.answer || !slices.Equal(asked, []string{c.asked}) {
			t.Errorf("%s: %d %s, asked %v", c.body, status, text, asked)
		}
	}
	for _, body := range []string{
		"", "{}", "[]", `{"channel":""}`, `{"channel":"-/own"}`, `{"channel":"a","client":{}}`, `{"channel":"a","more":1}`,
		`{"channel":"a","overSeconds":-1}`, `{"channel":"a","overSeconds":3601}`, `{"channel":"a"}{"channel":"b"}`,
		`{"channel":"` + strings.Repeat("a", disconnectBytesMax) + `"}`, `{"client":{"loop":0,"fd":-1,"generation":1}}`,
	} {
		if status, text := answerTo(t, s, "POST", "/operator/disconnect", body, asJSON); status != 400 || !strings.HasPrefix(text, `{"error":`) {
			t.Errorf("%.60s: %d %s", body, status, text)
		}
	}
	for err, want := range map[error]int{operator.ErrDisconnects: 429, context.DeadlineExceeded: 503} {
		fake.err = err
		fake.takeAsked()
		if status, text := answerTo(t, s, "POST", "/operator/disconnect", `{"channel":"news"}`, asJSON); status != want {
			t.Errorf("%v: %d %s", err, status, text)
		}
	}
	fake.takeAsked()
}

// Web pages of others disconnect nobody, however they ask, and see nothing by way
// of a name that resolves to here; nor does anybody without the password.
func TestOperatorIsNotForOthers(t *testing.T) {
	s, fake, sources := startOperator(t)
	const body = `{"channel":"news"}`
	for _, c := range []struct {
		name, method string
		want         int
		headers      []string
	}{
		{"a form of another site", "POST", 403, []string{"Content-Type: text/plain", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}},
		{"a script of another site", "POST", 403, []string{asJSON, "Origin: https://evil.example"}},
		{"a form of this site", "POST", 415, []string{"Content-Type: text/plain", "Sec-Fetch-Site: same-origin"}},
		{"a name that was rebound", "POST", 421, []string{asJSON, "Host: evil.example", "Origin: http://evil.example", "Sec-Fetch-Site: same-origin"}},
		{"a link", "GET", 405, nil},
	} {
		if status, text := answerTo(t, s, c.method, "/operator/disconnect", body, c.headers...); status != c.want {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
	}
	for _, path := range []string{"/operator/", "/operator/state", "/operator/channels", "/operator/clients?channel=a"} {
		if status, _ := answerTo(t, s, "GET", path, "", "Host: evil.example"); status != 421 {
			t.Errorf("%s by another name: %d", path, status)
		}
		if status, _ := answerTo(t, s, "GET", path, "", "Host: localhost:9100"); status != 200 {
			t.Errorf("%s by localhost: %d", path, status)
		}
	}
	if asked := slices.DeleteFunc(fake.takeAsked(), func(a string) bool { return !strings.HasPrefix(a, "disconnect") }); len(asked) > 0 {
		t.Errorf("they did %v", asked)
	}

	guarded, err := Listen(Config{Addr: "127.0.0.1:0", Password: "secret"}, sources, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { guarded.Close(context.Background()) })
	for _, path := range []string{"/operator/", "/operator/page.js", "/operator/state", "/operator/disconnect"} {
		if status, _ := answerTo(t, guarded, "GET", path, ""); status != 401 {
			t.Errorf("%s without the password: %d", path, status)
		}
	}
	// With it, the page may have a name: it is behind a proxy, perhaps.
	const basic = "Authorization: Basic YWRtaW46c2VjcmV0"
	if status, text := answerTo(t, guarded, "POST", "/operator/disconnect", body, asJSON, basic, "Host: ops.example", "Origin: http://ops.example", "Sec-Fetch-Site: same-origin"); status != 200 {
		t.Errorf("with the password, by a name: %d %s", status, text)
	}
	if status, _ := answerTo(t, guarded, "POST", "/operator/disconnect", body, asJSON, basic, "Host: ops.example", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"); status != 403 {
		t.Errorf("with the browser's password, from another site: %d", status)
	}
}
