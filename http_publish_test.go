package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// post publishes over HTTP and returns status and body.
func post(t *testing.T, s *servertest.Server, path, body string) string {
	t.Helper()
	answer, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d%s", s.Admin, path), "application/octet-stream", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, withoutID(strings.TrimSpace(string(text))))
}

var idField = regexp.MustCompile(`,"id":"([a-z0-9]{8})-([0-9]+)"`)

// withoutID leaves the ids of messages out of an answer: they are other ones in each
// run.
func withoutID(answer string) string { return idField.ReplaceAllString(answer, "") }

// What is published over HTTP is heard as what redis-cli publishes is, by
// WebSockets and by who subscribes at the bus, with the embedded bus and with a
// Redis between two servers.
func TestPublishOverHTTP(t *testing.T) {
	s := servertest.StartServer(t, 0)
	t.Run("embedded", func(t *testing.T) { checkPublishHTTP(t, s, s, s.Bus, 1) })

	port := servertest.FreePort(t)
	servertest.StartRedis(t, port)
	bus := fmt.Sprintf("redis://127.0.0.1:%d", port)
	a, b := servertest.StartServer(t, 0, "--bus", bus), servertest.StartServer(t, 0, "--bus", bus)
	for _, server := range []*servertest.Server{a, b} {
		servertest.Eventually(t, "the bus works", server.Healthy)
	}
	// The two servers and redis-cli.
	t.Run("redis", func(t *testing.T) { checkPublishHTTP(t, a, b, port, 3) })
}

func checkPublishHTTP(t *testing.T, first, second *servertest.Server, bus, subscribers int) {
	here, there := first.Dial(t, "a/b//c"), second.Dial(t, "a/b//c")
	connections := 1
	if first == second {
		connections = 2
	}
	ears := subscribeAt(t, bus, "a/b//c")
	want := fmt.Sprintf(`200 {"channel":"a/b//c","connections":%d,"subscribers":%d}`, connections, subscribers)
	for i := range 50 {
		if got := post(t, first, "/publish/a/b%2F/c", fmt.Sprint(i)); got != want {
			t.Fatalf("message %d: %s, want %s", i, got, want)
		}
	}
	for i := range 50 {
		if a, b, e := here.Next(t), there.Next(t), ears(); a != fmt.Sprint(i) || b != a || e != a {
			t.Fatalf("message %d: %q here, %q there, %q at the bus", i, a, b, e)
		}
	}
	post(t, first, "/publish", `{"channel":"a/b//c","base64":"/wA="} {"channels":["nobody","a/b//c"],"data":"last"}`)
	for _, c := range []*servertest.Client{here, there} {
		if got, opcode, err := wsutil.ReadServerData(c); err != nil || string(got) != "\xff\x00" || opcode != ws.OpBinary {
			t.Errorf("bytes of a batch came as %q, %v %v", got, opcode, err)
		}
		if got := c.Next(t); got != "last" {
			t.Errorf("the end of a batch is %q", got)
		}
	}
	if got := first.Get("/channels/a/b//c"); got != fmt.Sprintf("200 {\"channel\":\"a/b//c\",\"connections\":%d}\n", connections) {
		t.Errorf("the channel: %s", got)
	}
	if got := first.Get("/channels?match=a*"); got != fmt.Sprintf("200 {\"channels\":[{\"channel\":\"a/b//c\",\"connections\":%d}],\"more\":false}\n", connections) {
		t.Errorf("the list: %s", got)
	}
	if got := first.Metric(`c10m_http_publishes_total{result="published"}`); got != 51 {
		t.Errorf("%v requests are counted", got)
	}
	if got := first.Metric("c10m_http_messages_total"); got != 53 {
		t.Errorf("%v messages are counted", got)
	}
}

// The command that the README shows, and bytes from a file.
func TestPublishWithCurl(t *testing.T) {
	s := servertest.StartServer(t, 0)
	c := s.Dial(t, "news")
	curl := func(stdin string, args ...string) string {
		t.Helper()
		command := exec.Command("curl", append([]string{"-sS", "--max-time", "60"}, args...)...)
		command.Stdin = strings.NewReader(stdin)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return withoutID(strings.TrimSpace(string(out)))
	}
	address := fmt.Sprintf("127.0.0.1:%d", s.Admin)
	const want = `{"channel":"news","connections":1,"subscribers":0}`
	if got := curl("", "-d", "hello", address+"/publish/news"); got != want || c.Next(t) != "hello" {
		t.Errorf("curl -d: %s", got)
	}
	// Nearly the limit; beyond 1 MiB, curl asks first (Expect: 100-continue).
	large := strings.Repeat("\x00\xffline\n", 149_000)
	if got := curl(large, "--data-binary", "@-", address+"/publish/news"); got != want || c.Next(t) != large {
		t.Errorf("curl --data-binary of %d bytes: %s", len(large), got)
	}
	if got := curl(strings.Repeat(large, 2), "--data-binary", "@-", "-w", " %{http_code}", address+"/publish/news"); !strings.HasSuffix(got, " 413") || !strings.Contains(got, "1048576 bytes") {
		t.Errorf("a message that is too long: %s", got)
	}
	// Chunked, as from a pipe.
	if got := curl("in pieces", "-T", "-", "-X", "POST", address+"/publish/news"); got != want || c.Next(t) != "in pieces" {
		t.Errorf("curl -T -: %s", got)
	}
	const lines = `{"channel":"news","data":"one"}
{"channels":["news","sport"],"base64":"dHdv"}
`
	if got := curl(lines, "--data-binary", "@-", address+"/publish"); got != `{"messages":[`+want+","+want+`,{"channel":"sport","connections":0,"subscribers":0}]}` ||
		c.Next(t) != "one" || c.Next(t) != "two" {
		t.Errorf("a batch: %s", got)
	}
}

// Requests that are sent without waiting for answers are published in order.
func TestPublishPipelinedInOrder(t *testing.T) {
	s := servertest.StartServer(t, 0)
	c := s.Dial(t, "news")
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Admin))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const messages = 1000
	var all bytes.Buffer
	for i := range messages {
		text := fmt.Sprint(i)
		fmt.Fprintf(&all, "POST /publish/news HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
	go conn.Write(all.Bytes())
	answers := bufio.NewReader(conn)
	for i := range messages {
		answer, err := http.ReadResponse(answers, nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("answer %d: %v %v", i, answer, err)
		}
		io.Copy(io.Discard, answer.Body)
		if got := c.Next(t); got != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, got)
		}
	}
}

// A publisher that is cut off in the middle of a message publishes nothing.
func TestPublishCutOffHalfWay(t *testing.T) {
	s := servertest.StartServer(t, 0)
	c := s.Dial(t, "news")
	for _, half := range []string{
		"POST /publish/news HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf",
		"POST /publish/news HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"channel\":\"news\",\"data\":\"half\"}\n",
	} {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Admin))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, half)
		conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Errorf("the answer is %.100q", answer)
		}
	}
	if got := s.Metric(`c10m_http_publishes_total{result="incomplete"}`); got != 3 {
		t.Errorf("%v are counted as incomplete", got)
	}
	post(t, s, "/publish/news", "whole")
	if got := c.Next(t); got != "whole" {
		t.Errorf("the first message is %q", got)
	}
}

// Without its Redis the server says that nothing was published.
func TestPublishOverHTTPWithoutItsRedis(t *testing.T) {
	port := servertest.FreePort(t)
	redis := servertest.StartRedis(t, port)
	s := servertest.StartServer(t, 0, "--bus", fmt.Sprintf("redis://127.0.0.1:%d", port))
	servertest.Eventually(t, "the bus works", s.Healthy)
	if got := post(t, s, "/publish/news", "x"); got != `200 {"channel":"news","connections":0,"subscribers":1}` {
		t.Errorf("while it works: %s", got)
	}
	redis.Cmd.Process.Kill()
	redis.Wait()
	servertest.Eventually(t, "health is red", func() bool { return !s.Healthy() })
	if got := post(t, s, "/publish/news", "x"); !strings.HasPrefix(got, "503 ") || !strings.Contains(got, "it was not published") {
		t.Errorf("without it: %s", got)
	}
	if got := post(t, s, "/publish", `[{"channels":["a","b"],"data":""}]`); !strings.HasPrefix(got, "503 ") ||
		!strings.Contains(got, `"messages":[{"channel":"a","published":"no"},{"channel":"b","published":"no"}]}`) {
		t.Errorf("a batch without it: %s", got)
	}
}
