package admin

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"c10m/bus"
	"c10m/bus/bustest"
	"c10m/channel"
	"c10m/redisbus"
)

const testMessageBytesMax = 1000

// newDriver makes a driver whose messages come to the loops later, as from a Redis.
func newDriver() (*bustest.Memory, *bustest.Door) {
	door := bustest.NewDoor(map[string]int{"news": 3, "a/b": 1, "ä": 2})
	driver := bustest.NewMemory(door)
	driver.IsLate, driver.Subscribers = true, 7
	return driver, door
}

// onEachDriver runs a test on that driver, on one that numbers messages and has receipts,
// and on the embedded bus, which have so many subscribers for each message.
func onEachDriver(t *testing.T, test func(t *testing.T, driver bus.Bus, door *bustest.Door, subscribers int)) {
	for name, isLate := range map[string]bool{"late": true, "memory": false} {
		t.Run(name, func(t *testing.T) {
			driver, door := newDriver()
			driver.IsLate = isLate
			test(t, driver, door, driver.Subscribers)
		})
	}
	t.Run("embedded", func(t *testing.T) {
		_, door := newDriver()
		driver, err := redisbus.ListenEmbedded(redisbus.EmbeddedConfig{Addr: "127.0.0.1:0"}, door, newLog(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { bustest.Close(t, driver) })
		test(t, driver, door, 0)
	})
}

// published are the messages that came to a Door after the first n.
func published(door *bustest.Door, n int) string {
	var all []string
	for _, m := range door.All()[n:] {
		all = append(all, m.Channel+" "+m.Payload)
	}
	return strings.Join(all, "|")
}

// failures fail messages with these payloads.
func failures(of map[string]error) func(*bus.Publication) error {
	return func(p *bus.Publication) error { return of[string(p.Payload)] }
}

func startPublishing(t testing.TB, driver bus.Bus, door *bustest.Door, repeats *bus.Repeats) *Server {
	t.Helper()
	sources, _ := newSources(0)
	if repeats == nil {
		repeats = bus.NewRepeats(driver, door, 0)
	}
	sources.Bus, sources.Channels, sources.Repeats = driver, door, repeats
	s, err := Listen(Config{Addr: "127.0.0.1:0", MessageBytesMax: testMessageBytesMax}, sources, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// send makes a request whose target is sent as it is.
func send(t testing.TB, s *Server, method, target, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+s.Addr(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.URL.Opaque = target
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	response, text := answerOf(t, request)
	return response, strings.TrimSuffix(text, "\n")
}

// idInAnswer is what a driver that has ids adds to the answer for each message.
var idInAnswer = regexp.MustCompile(`,"id":"memory-\d+"`)

func TestPublish(t *testing.T) { onEachDriver(t, testPublish) }

func testPublish(t *testing.T, driver bus.Bus, door *bustest.Door, subscribers int) {
	s := startPublishing(t, driver, door, nil)
	long := strings.Repeat("x", testMessageBytesMax)
	for _, c := range []struct{ target, body, answer, messages string }{
		{"/publish/news", "hello", `{"channel":"news","connections":3,"subscribers":7}`, "news hello"},
		{"/-/publish/news", "", `{"channel":"news","connections":3,"subscribers":7}`, "news "},
		{"/publish/a%2fb", "\xff\x00\n", `{"channel":"a/b","connections":1,"subscribers":7}`, "a/b \xff\x00\n"},
		{"/publish//a//b/../c/", "1", `{"channel":"/a//b/../c/","connections":0,"subscribers":7}`, "/a//b/../c/ 1"},
		{"/publish/%C3%A4", long, `{"channel":"ä","connections":2,"subscribers":7}`, "ä " + long},
		{"/publish/%3Fa+b%23", "1", `{"channel":"?a+b#","connections":0,"subscribers":7}`, "?a+b# 1"},
		{"/publish", `{"channel":"news","data":"1"}`, `{"messages":[{"channel":"news","connections":3,"subscribers":7}]}`, "news 1"},
		{"/publish", "{\"data\":\"a\\u00e4\\u0000\",\"channels\":[\"b\",\"a\"]}\n\r\n {\"base64\":\"/wA=\",\"channel\":\"b\"}",
			`{"messages":[{"channel":"b","connections":0,"subscribers":7},{"channel":"a","connections":0,"subscribers":7},{"channel":"b","connections":0,"subscribers":7}]}`,
			"b aä\x00|a aä\x00|b \xff\x00"},
		{"/publish", ` [ {"channel":"a","data":""} , {"channel":"a","base64":""}]`,
			`{"messages":[{"channel":"a","connections":0,"subscribers":7},{"channel":"a","connections":0,"subscribers":7}]}`, "a |a "},
	} {
		before := len(door.All())
		response, answer := send(t, s, "POST", c.target, c.body, "Content-Type", "text/x-anything")
		ids := len(idInAnswer.FindAllString(answer, -1))
		if m, isMemory := driver.(*bustest.Memory); isMemory && !m.IsLate && ids != len(door.All())-before {
			t.Errorf("%s %.40q has %d ids: %s", c.target, c.body, ids, answer)
		}
		answer = idInAnswer.ReplaceAllString(answer, "")
		want := strings.ReplaceAll(c.answer, `"subscribers":7`, fmt.Sprintf(`"subscribers":%d`, subscribers))
		if response.StatusCode != 200 || answer != want || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %.40q: %d %s", c.target, c.body, response.StatusCode, answer)
		}
		if got := published(door, before); got != c.messages {
			t.Errorf("%s %.40q published %.60q", c.target, c.body, got)
		}
	}
}

// A message that is repeated with its key is published once, and answered as the
// first time.
func TestPublishWithKeys(t *testing.T) { onEachDriver(t, testPublishWithKeys) }

func testPublishWithKeys(t *testing.T, driver bus.Bus, door *bustest.Door, subscribers int) {
	memory, isMemory := driver.(*bustest.Memory)
	lost := 0
	if isMemory {
		memory.Fail(func(p *bus.Publication) error {
			switch string(p.Payload) {
			case "down":
				return bus.ErrUnpublished
			case "lost":
				if lost++; lost == 1 { // the second time it could be published
					return errors.New("no answer")
				}
			}
			return nil
		})
	}
	s := startPublishing(t, driver, door, bus.NewRepeats(driver, door, 100))
	answers := make(map[string]string)
	one := fmt.Sprintf(`{"channel":"news","connections":3,"subscribers":%d}`, subscribers)
	for _, c := range []struct {
		target, body, key string
		status            int
		answer            string // its beginning
		messages          int    // so far
	}{
		{"/publish/news", "hello", "k", 200, one, 1},
		{"/publish/news", "hello", "k", 200, one, 1},
		{"/publish/news", "hello", `"k"`, 200, one, 1}, // a string of structured fields
		{"/publish/news", "hello", "", 200, one, 2},
		{"/publish/news", "other", "k", 422, `{"error":"the key was another message's`, 2},
		{"/publish", `{"channels":["news","old"],"data":"hello","key":"k"}`, "", 200, `{"messages":[` + one + `,{"channel":"old",`, 3},
		{"/publish", `{"channels":["news","old"],"data":"hello","key":"k"}`, "", 200, `{"messages":[` + one + `,{"channel":"old",`, 3},
		{"/publish/news", "lost", "l", 503, `{"error":"the bus did not answer`, 3},
		{"/publish/news", "lost", "l", 503, `{"error":"the bus did not answer`, 3},
		// What is to be repeated comes before what is not, whichever stands first.
		{"/publish", `{"channel":"news","data":"other","key":"k"} {"channel":"news","data":"down"}`, "", 503,
			`{"error":"the bus did not take it (the message was not published), and it was not published","messages":[{"channel":"news","published":"no"},{"channel":"news","published":"no"}]}`, 3},
		{"/publish", `{"channel":"news","data":"other","key":"k"} {"channel":"old","data":"more"}`, "", 422,
			`{"error":"keys were those of other messages, and the messages with them were not published","messages":[{"channel":"news","published":"no"},{"channel":"old","published":"yes"}]}`, 4},
	} {
		if !isMemory && c.status == 503 {
			continue // the embedded bus does not fail
		}
		var headers []string
		if c.key != "" {
			headers = []string{"Idempotency-Key", c.key}
		}
		response, answer := send(t, s, "POST", c.target, c.body, headers...)
		bare := idInAnswer.ReplaceAllString(answer, "")
		if response.StatusCode != c.status || !strings.HasPrefix(bare, c.answer) || len(door.All()) != c.messages {
			t.Errorf("%s %s with %q: %d %s, %d messages", c.target, c.body, c.key, response.StatusCode, answer, len(door.All()))
		}
		if first, isKnown := answers[c.body+c.target]; isKnown && c.key != "" && c.status == 200 && answer != first {
			t.Errorf("%s %s with %q is answered with %s, and first with %s", c.target, c.body, c.key, answer, first)
		} else if !isKnown {
			answers[c.body+c.target] = answer
		}
	}
	repeats, reused, keys := 6, 3, 3
	if !isMemory {
		repeats, reused, keys = 5, 2, 2
	}
	if _, text := send(t, s, "GET", "/metrics", ""); !strings.Contains(text, fmt.Sprintf("c10m_publish_repeats_total %d\n", repeats)) ||
		!strings.Contains(text, fmt.Sprintf("c10m_publish_keys_reused_total %d\n", reused)) || !strings.Contains(text, fmt.Sprintf("c10m_publish_keys %d\n", keys)) {
		t.Errorf("metrics: %s", text)
	}
}

// TestPublishRefuses: each with a status, one sentence and a counter, and nothing
// is published.
func TestPublishRefuses(t *testing.T) {
	driver, door := newDriver()
	s := startPublishing(t, driver, door, nil)
	s.publish.batchBytesMax = 64 << 10 // net/http reads so much of a refused body, so that the answer gets there
	long := strings.Repeat("x", testMessageBytesMax+1)
	const good = `{"channel":"a","data":"1"}`
	want := map[string]int{}
	for _, c := range []struct {
		method, target, body string
		status               int
		say                  string
		headers              []string
	}{
		{"GET", "/publish/news", "", 405, "only POST", nil},
		{"PUT", "/publish/news", "x", 405, "only POST", nil},
		{"OPTIONS", "/publish/news", "", 405, "only POST", nil},
		{"POST", "/publish/", "x", 400, "does not name a channel", nil},
		{"POST", "/publish/-/x", "x", 400, "the server's own", nil},
		{"POST", "/publish/%2D%2fx", "x", 400, "the server's own", nil},
		{"POST", "/publish/%ff", "x", 400, "does not name a channel", nil},
		{"POST", "/publish/" + strings.Repeat("n", channel.NameBytesMax+1), "x", 400, "does not name a channel", nil},
		{"POST", "/publish/a?b", "x", 400, "%3F", nil},
		{"POST", "/publish/a", "x", 415, "Content-Encoding", []string{"Content-Encoding", "gzip"}},
		{"POST", "/publish/a", long, 413, "1000 bytes (--message-bytes)", nil},
		{"POST", "/publish", strings.Repeat(" ", 64<<10+1), 413, "the body of a batch has at most 65536 bytes", nil},

		{"POST", "/publish/a", "x", 400, "Idempotency-Key", []string{"Idempotency-Key", "two words"}},
		{"POST", "/publish/a", "x", 400, "Idempotency-Key", []string{"Idempotency-Key", ""}},
		{"POST", "/publish", good, 400, "each message has its key", []string{"Idempotency-Key", "k"}},
		{"POST", "/publish", `{"channel":"a","data":"1","key":"two words"}`, 400, "a key is", nil},
		{"POST", "/publish", `{"channel":"a","data":"1","key":"k","key":"k"}`, 400, "message 1: ", nil},
		{"POST", "/publish", `{"channel":"a","data":"1","key":1}`, 400, "key is no string", nil},

		{"POST", "/publish", "", 400, "no message in the body", nil},
		{"POST", "/publish", "[]", 400, "no message in the body", nil},
		{"POST", "/publish", good + "\nnonsense", 400, "message 2: ", nil},
		{"POST", "/publish", good + good[:len(good)-1], 400, "message 2: ", nil},
		{"POST", "/publish", "[" + good, 400, "message 2: ", nil},
		{"POST", "/publish", "[" + good + ",]", 400, "message 2: ", nil},
		{"POST", "/publish", "[" + good + "]" + good, 400, "something follows", nil},
		{"POST", "/publish", "null", 400, "message 1: it is no object", nil},
		{"POST", "/publish", "[[" + good + "]]", 400, "message 1: it is no object", nil},
		{"POST", "/publish", good + `{"channel":"a","data":"1","retain":true}`, 400, `message 2: there is no field "retain"`, nil},
		{"POST", "/publish", `{"Channel":"a","data":"1"}`, 400, `no field "Channel"`, nil},
		{"POST", "/publish", `{"channel":"a","channel":"b","data":"1"}`, 400, "message 1: ", nil},
		{"POST", "/publish", `{"channel":"a","channels":["b"],"data":"1"}`, 400, "either channel or channels", nil},
		{"POST", "/publish", `{"channel":"a","data":"1","base64":""}`, 400, "either data or base64", nil},
		{"POST", "/publish", `{"channel":"a"}`, 400, "data or base64 is missing", nil},
		{"POST", "/publish", `{"data":"a"}`, 400, "channel or channels is missing", nil},
		{"POST", "/publish", `{}`, 400, "channel or channels is missing", nil},
		{"POST", "/publish", `{"channel":"a","data":null}`, 400, "data is no string", nil},
		{"POST", "/publish", `{"channel":"a","data":{"x":1}}`, 400, "data is no string", nil},
		{"POST", "/publish", `{"channel":1,"data":""}`, 400, "a channel is no string", nil},
		{"POST", "/publish", `{"channel":"","data":""}`, 400, "is no channel", nil},
		{"POST", "/publish", `{"channel":"-/x","data":""}`, 400, "the server's own", nil},
		{"POST", "/publish", `{"channels":"a","data":""}`, 400, "channels is no array", nil},
		{"POST", "/publish", `{"channels":[],"data":""}`, 400, "channels is empty", nil},
		{"POST", "/publish", `{"channels":["a",2],"data":""}`, 400, "a channel is no string", nil},
		{"POST", "/publish", `{"channels":["a"`, 400, "message 1: ", nil},
		{"POST", "/publish", `{"channel":"a","base64":"_-8="}`, 400, "illegal base64", nil},
		{"POST", "/publish", `{"channel":"a","base64":"AB=="}`, 400, "illegal base64", nil},
		{"POST", "/publish", `{"channel":"a","base64":"AA"}`, 400, "illegal base64", nil},
		{"POST", "/publish", "{\"channel\":\"a\",\"data\":\"\xff\"}", 400, "UTF-8", nil},
		{"POST", "/publish", `{"channel":"a","data":"\ud800"}`, 400, "message 1: ", nil},
		{"POST", "/publish", good + `{"channel":"a","data":"` + long + `"}`, 413, "message 2 has 1001 bytes, and the limit is 1000", nil},
		{"POST", "/publish", strings.Repeat(good, batchMessagesMax+1), 413, "at most 1000 messages", nil},
		{"POST", "/publish", good + `{"channels":["a"` + strings.Repeat(`,"a"`, batchMessagesMax-1) + `],"data":""}`, 413, "at most 1000 messages", nil},
		{"POST", "/publish", `{"channels":["a"` + strings.Repeat(`,"a"`, batchMessagesMax+5) + `],"data":""}`, 413, "at most 1000 messages", nil},
	} {
		response, answer := send(t, s, c.method, c.target, c.body, c.headers...)
		said := struct{ Error string }{}
		if err := json.Unmarshal([]byte(answer), &said); err != nil {
			t.Fatalf("%s %s %.60q: %v in %q", c.method, c.target, c.body, err, answer)
		}
		if response.StatusCode != c.status || !strings.Contains(said.Error, c.say) || strings.Contains(said.Error, "\n") {
			t.Errorf("%s %.60s %.60q %v: %d %q, want %d and %q", c.method, c.target, c.body, c.headers, response.StatusCode, said.Error, c.status, c.say)
		}
		switch c.status {
		case 413:
			want[resultTooBig]++
		default:
			want[resultBadRequest]++
		}
	}
	if got := door.All(); len(got) != 0 {
		t.Errorf("published all the same: %.100q", got)
	}
	for _, result := range publishResults {
		if got := counted(t, s.publish.results, result); got != want[result] {
			t.Errorf("%s is counted %d times, want %d", result, got, want[result])
		}
	}
	if left := s.publish.bodies.Load(); left != 0 {
		t.Errorf("%d bytes are still reserved", left)
	}
}

// TestPublishFromABrowserHere: a page of this address may publish.
func TestPublishFromABrowserHere(t *testing.T) {
	driver, door := newDriver()
	s := startPublishing(t, driver, door, nil)
	for _, headers := range [][]string{
		{"Origin", "http://" + s.Addr()},
		{"Origin", "http://" + s.Addr(), "Sec-Fetch-Site", "same-origin"},
		{"Origin", "http://localhost:9100", "Host", "localhost:9100"},
		{"Origin", "http://[::1]", "Host", "[::1]"},
	} {
		if response, answer := send(t, s, "POST", "/publish/a", "x", headers...); response.StatusCode != 200 {
			t.Errorf("%v: %d %s", headers, response.StatusCode, answer)
		}
	}
}

// TestPublishTotalOfABatch: what goes to many channels counts as often.
func TestPublishTotalOfABatch(t *testing.T) {
	p := &publisher{messageBytesMax: 100, batchBytesMax: 300}
	body := `{"channels":["a","b","c"],"data":"` + strings.Repeat("x", 100) + `"}`
	if messages, err := p.parseBatch([]byte(body)); err != nil || len(messages) != 3 {
		t.Errorf("300 bytes: %d messages, %v", len(messages), err)
	}
	no := &refusal{}
	if _, err := p.parseBatch([]byte(body + `{"channel":"a","data":"x"}`)); !errors.As(err, &no) || no.status != 413 || !strings.Contains(no.text, "300 bytes") {
		t.Errorf("301 bytes: %v", err)
	}
}

// TestPublishFailures: who is told that it was not published can try again, and
// who is told that it may have been must decide.
func TestPublishFailures(t *testing.T) {
	surely := fmt.Errorf("no: %w", bus.ErrUnpublished)
	driver, door := newDriver()
	driver.Fail(failures(map[string]error{"no": surely, "perhaps": io.ErrUnexpectedEOF}))
	s := startPublishing(t, driver, door, nil)
	const batch = `{"channel":"a","data":"yes"}{"channel":"b","data":"no"}`
	for _, c := range []struct {
		target, body, say, messages string
		result                      string
	}{
		{"/publish/a", "no", "and it was not published", "", resultBusDown},
		{"/publish/a", "perhaps", "and it may have been published", "", resultUnconfirmed},
		{"/publish", batch, "and it was not published",
			`[{"channel":"a","published":"yes"},{"channel":"b","published":"no"}]`, resultBusDown},
		{"/publish", batch + `{"channel":"c","data":"perhaps"}`, "and it may have been published",
			`[{"channel":"a","published":"yes"},{"channel":"b","published":"no"},{"channel":"c","published":"unknown"}]`, resultUnconfirmed},
	} {
		before := counted(t, s.publish.results, c.result)
		response, answer := send(t, s, "POST", c.target, c.body)
		said := struct {
			Error    string
			Messages json.RawMessage
		}{}
		if err := json.Unmarshal([]byte(answer), &said); err != nil {
			t.Fatalf("%v in %q", err, answer)
		}
		if response.StatusCode != 503 || response.Header.Get("Retry-After") != "5" || !strings.HasSuffix(said.Error, c.say) || string(said.Messages) != c.messages {
			t.Errorf("%q: %d %v %s", c.body, response.StatusCode, response.Header, answer)
		}
		if got := counted(t, s.publish.results, c.result); got != before+1 {
			t.Errorf("%q: %s is %d", c.body, c.result, got)
		}
	}
}

// TestPublishOverload: while the bus holds those who publish, a bounded number
// waits for a bounded time, and the others are told to come back; who was told so
// is not published.
func TestPublishOverload(t *testing.T) {
	driver, door := newDriver()
	driver.Hold, driver.Entered = make(chan struct{}), make(chan struct{}, publishesMax+publishesWaitingMax)
	s := startPublishing(t, driver, door, nil)
	const patient = 1 << 62
	s.publish.wait = patient
	var publishing sync.WaitGroup
	in := func() {
		publishing.Go(func() {
			if response, answer := send(t, s, "POST", "/publish/a", "in"); response.StatusCode != 200 {
				t.Errorf("who came in time: %d %s", response.StatusCode, answer)
			}
		})
	}
	for range publishesMax {
		in()
	}
	for range publishesMax {
		<-driver.Entered
	}
	for range publishesWaitingMax {
		in()
	}
	await(t, "those who wait", func() bool { return s.publish.waiting.Load() == publishesWaitingMax })
	refused := func(what string) {
		response, answer := send(t, s, "POST", "/publish/a", "out")
		if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: %d %s", what, response.StatusCode, answer)
		}
	}
	refused("one too many")
	close(driver.Hold)
	publishing.Wait()
	if got := door.All(); len(got) != publishesMax+publishesWaitingMax || door.Times("out") != 0 {
		t.Errorf("published: %v", got)
	}

	// The places are taken again, for longer than anybody waits.
	for range publishesMax {
		s.publish.places <- struct{}{}
	}
	s.publish.wait = 1
	refused("one that waited in vain")
	// Bytes under way.
	s.publish.bodies.Store(s.publish.bodiesBytesMax)
	refused("one with a body too many")
	if got := counted(t, s.publish.results, resultOverloaded); got != 3 {
		t.Errorf("%d are counted", got)
	}
}

func TestChannelsPages(t *testing.T) {
	driver, door := newDriver()
	s := startPublishing(t, driver, door, nil)
	for _, c := range []struct {
		target string
		status int
		answer string
	}{
		{"/channels/news", 200, `{"channel":"news","connections":3}`},
		{"/-/channels/a%2Fb", 200, `{"channel":"a/b","connections":1}`},
		{"/channels/nobody", 200, `{"channel":"nobody","connections":0}`},
		{"/channels/-/x", 400, `{"error":"channels that begin with -/ are the server's own"}`},
		{"/channels", 200, `{"channels":[{"channel":"a/b","connections":1},{"channel":"news","connections":3},{"channel":"ä","connections":2}],"more":false}`},
		{"/channels?match=a*&limit=1", 200, `{"channels":[{"channel":"a/b","connections":1}],"more":false}`},
		{"/channels?match=%5Ban%5D*&limit=2", 200, `{"channels":[{"channel":"a/b","connections":1},{"channel":"news","connections":3}],"more":false}`},
		{"/channels?match=x", 200, `{"channels":[],"more":false}`},
		{"/channels?limit=0", 400, `{"error":"limit is a number from 1 to 10000"}`},
		{"/channels?limit=10001", 400, `{"error":"limit is a number from 1 to 10000"}`},
		{"/channels?limit=x", 400, `{"error":"limit is a number from 1 to 10000"}`},
		{"/channels?pattern=x", 400, `{"error":"there is no parameter \"pattern\", only match and limit"}`},
		{"/channels?match=a&match=b", 400, `{"error":"\"match\" is there twice"}`},
		{"/channels?match=" + strings.Repeat("x", listPatternBytesMax+1), 400, `{"error":"a pattern has at most 1024 bytes"}`},
	} {
		if response, answer := send(t, s, "GET", c.target, ""); response.StatusCode != c.status || answer != c.answer {
			t.Errorf("%.60s: %d %s", c.target, response.StatusCode, answer)
		}
	}
	if _, answer := send(t, s, "GET", "/channels?limit=2", ""); !strings.HasSuffix(answer, `],"more":true}`) || strings.Count(answer, `"channel"`) != 2 {
		t.Errorf("a list that is cut off: %s", answer)
	}
	if response, _ := send(t, s, "POST", "/channels", ""); response.StatusCode != 405 {
		t.Errorf("POST: %d", response.StatusCode)
	}
	for range listingsMax {
		s.list.places <- struct{}{}
	}
	if response, _ := send(t, s, "GET", "/channels", ""); response.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a listing too many: %d", response.StatusCode)
	}
}

// BenchmarkPublish is a request on a connection that is kept, and its answer,
// without bus and loops.
func BenchmarkPublish(b *testing.B) {
	driver, door := newDriver()
	door.Discard = true
	s := startPublishing(b, driver, door, nil)
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	request := []byte("POST /publish/news HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
	answers := bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		for {
			line, err := answers.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if line[0] == '{' {
				break
			}
		}
	}
}

// FuzzBatch compares what is taken with what encoding/json makes of it: the same
// messages, or a refusal.
func FuzzBatch(f *testing.F) {
	f.Add(`{"channel":"a","data":"text"}`)
	f.Add("{\"channels\":[\"a\",\"b\"],\"base64\":\"AP8=\"}\n{\"channel\":\"c\",\"data\":\"\\u00e4\\ud83d\\ude00\"}")
	f.Add(`[{"channel":"a","data":""},{"channels":["b"],"data":"x"}]`)
	f.Add(`{"channel":"a","data":"\ud800"}`)
	p := &publisher{messageBytesMax: 100, batchBytesMax: 300}
	f.Fuzz(func(t *testing.T, body string) {
		messages, err := p.parseBatch([]byte(body))
		if err != nil {
			no := &refusal{}
			if !errors.As(err, &no) || no.text == "" || messages != nil && no.status == 0 {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if !utf8.ValidString(body) {
			t.Fatalf("%q is taken", body)
		}
		want := naiveBatch(t, body)
		if len(messages) != len(want) || len(messages) == 0 || len(messages) > batchMessagesMax {
			t.Fatalf("%q: %d messages, want %d", body, len(messages), len(want))
		}
		total := 0
		for i, m := range messages {
			if got := string(m.Channel) + " " + string(m.Payload); got != want[i] || !channel.ValidName(m.Channel) {
				t.Fatalf("%q: message %d is %q, want %q", body, i, got, want[i])
			}
			total += len(m.Payload)
		}
		if total > p.batchBytesMax {
			t.Fatalf("%q: %d bytes", body, total)
		}
	})
}

// naiveBatch is what encoding/json understands.
func naiveBatch(t *testing.T, body string) (messages []string) {
	type object struct {
		Channel      *string
		Channels     []string
		Data, Base64 *string
	}
	d := json.NewDecoder(strings.NewReader(body))
	for {
		var value json.RawMessage
		if err := d.Decode(&value); err == io.EOF {
			return messages
		} else if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		objects := make([]object, 1)
		var err error
		if value[0] == '[' {
			err = json.Unmarshal(value, &objects)
		} else {
			err = json.Unmarshal(value, &objects[0])
		}
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		for _, o := range objects {
			payload := ""
			if o.Data != nil {
				payload = *o.Data
			} else {
				decoded, err := base64.StdEncoding.DecodeString(*o.Base64)
				if err != nil {
					t.Fatalf("%q: %v", body, err)
				}
				payload = string(decoded)
			}
			names := o.Channels
			if o.Channel != nil {
				names = []string{*o.Channel}
			}
			for _, name := range names {
				messages = append(messages, name+" "+payload)
			}
		}
	}
}
