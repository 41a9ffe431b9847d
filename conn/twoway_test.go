package conn

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"c10m/channel"
	"c10m/conn/admission"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/poller"

	"github.com/gobwas/ws"
	"github.com/golang-jwt/jwt/v5"
)

// twoWayRequest is a good request that asks for c10m.v1.
func twoWayRequest(path string) []byte {
	return tokenRequest(path, "Sec-WebSocket-Protocol: c10m.v1")
}

// upgradeTwoWay opens a two-way connection, with frames right behind the request.
func (s *testServer) upgradeTwoWay(t testing.TB, path string, frames ...[]byte) *rawClient {
	t.Helper()
	c := s.connect(t)
	c.send(join(append([][]byte{twoWayRequest(path)}, frames...)...))
	if r := c.response(); r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Protocol") != "c10m.v1" {
		t.Fatalf("upgrade: %s %v", r.Status, r.Header)
	}
	return c
}

// command returns the next answer or delivery; of a delivery's id, which no test
// knows, it leaves a "#", after it has looked at it.
func (c *rawClient) command() string {
	c.t.Helper()
	f, err := c.frame()
	if err != nil {
		c.t.Fatal(err)
	}
	if f.opcode == ws.OpClose {
		return fmt.Sprint("closed with ", f.code)
	}
	if f.opcode != ws.OpText && f.opcode != ws.OpBinary {
		return fmt.Sprint("opcode ", f.opcode, " ", f.payload)
	}
	line, rest, hasRest := strings.Cut(f.payload, "\n")
	words := strings.Split(line, " ")
	if words[0] == "ERR" && len(rest) > 10 {
		return line // the sentence is for people
	}
	if (f.opcode == ws.OpText) != utf8.ValidString(f.payload) {
		c.t.Fatalf("opcode %v for %q", f.opcode, f.payload)
	}
	if words[0] == "MSG" {
		if len(words) != 3 || !strings.Contains(words[2], "-") {
			c.t.Fatalf("a delivery without id: %q", line)
		}
		line = "MSG " + words[1] + " #"
	}
	if hasRest {
		line += "\n" + rest
	}
	return line
}

func (c *rawClient) expectCommands(want ...string) {
	c.t.Helper()
	for i, w := range want {
		if got := c.command(); got != w {
			c.t.Fatalf("answer %d: got %.200q, want %.200q", i, got, w)
		}
	}
}

func TestTwoWayCommands(t *testing.T) {
	s, publisher := startPublishing(t)
	c := s.upgradeTwoWay(t, "/first%20one", text("PING"))
	c.expectCommands("OK SUB first%20one", "PONG")
	name := strings.Repeat("é", 127) // 254 bytes, 762 when encoded
	encoded := strings.Repeat("%C3%A9", 127)
	for _, one := range []struct{ say, want string }{
		{"SUB a/b", "OK SUB a/b"},
		{"SUB a/b", "OK SUB a/b"}, // it is one already
		{"SUB a%2fb\n", "OK SUB a/b"},
		{"SUB " + encoded, "OK SUB " + encoded},
		{"SUB " + name, "OK SUB " + encoded},
		{"UNSUB " + encoded, "OK UNSUB " + encoded},
		{"UNSUB " + encoded, "ERR UNSUB " + encoded + " not_subscribed"},
		{"UNSUB nobody", "ERR UNSUB nobody not_subscribed"},
		{"SUB -/x", "ERR SUB - bad_channel"},
		{"SUB %2", "ERR SUB - bad_channel"},
		{"SUB %ff", "ERR SUB - bad_channel"},
		{"SUB", "ERR SUB - bad_channel"},
		{"SUB ", "ERR SUB - bad_channel"},
		{"SUB a b c", "ERR SUB a bad_command"},
		{"SUB a ", "ERR SUB a bad_command"},
		{"SUB a\npayload", "ERR SUB a bad_command"},
		{"SUB " + strings.Repeat("x", 256), "ERR SUB - bad_channel"},
		{"SUB " + strings.Repeat("x", 766), "ERR SUB - bad_command"},
		{"PUB a", "ERR PUB a bad_command"},
		{"PUB a key more\nx", "ERR PUB a bad_command"},
		{"PUB a \nx", "ERR PUB a bad_command"},
		{"PUB a " + strings.Repeat("k", 129) + "\nx", "ERR PUB a bad_command"},
		{"PUB a \"key\"\nx", "ERR PUB a bad_command"},
		{"PUB a key\n" + strings.Repeat("x", 200_001), "ERR PUB a too_big key"},
		{"UNSUB a since", "ERR UNSUB a bad_command"},
		{"PUB a\n" + strings.Repeat("x", 200_001), "ERR PUB a too_big"},
		{"sub a", "ERR - - bad_command"},
		{"", "ERR - - bad_command"},
		{"PING ", "ERR PING - bad_command"},
		{"SUB later life-17", "GAP later"}, // nothing is kept here
		{"PING", "OK SUB later"},
	} {
		c.send(text(one.say))
		c.expectCommands(one.want)
	}
	c.expectCommands("PONG")
	for _, name := range []string{"first one", "a/b"} {
		if n := s.publish(t, name, "é"); n != 1 {
			t.Errorf("%d members of %q", n, name)
		}
	}
	s.publish(t, "a/b", "\xff\n")
	c.expectCommands("MSG first%20one #\né", "MSG a/b #\né", "MSG a/b #\n\xff\n")
	c.send(join(text("UNSUB first%20one"), text("PUB x/y z"), text("PUB x/y%20z\none\ntwo"), clientFrame(0x82, []byte("PUB a/b\n\xff")), text("PUB a\n"+strings.Repeat("x", 200_000))))
	c.expectCommands("OK UNSUB first%20one", "ERR PUB x/y bad_command")
	publisher.wait(t, "x/y z: one\ntwo", "a/b: \xff", "a: "+strings.Repeat("x", 200_000))
	if n := s.publish(t, "first one", "nobody is there"); n != 0 {
		t.Errorf("%d members of the channel that was left", n)
	}
	stats := s.servers[0].Stats()
	if n, m := stats.TwoWay.Load(), stats.Memberships.Load(); n != 1 || m != 2 {
		t.Errorf("%d two-way connections, %d memberships", n, m)
	}
	c.send(clientFrame(0x81, make([]byte, 300_000))[:14])
	c.expectCommands("closed with 1009")
	c.Close()
	s.checkNothingLeft(t)
	if n, m := stats.TwoWay.Load(), stats.Memberships.Load(); n != 0 || m != 0 {
		t.Errorf("%d two-way connections, %d memberships are left", n, m)
	}
}

// Whatever a URL has as a position, its client is told if it cannot be continued.
func TestTwoWayPositionOfTheURL(t *testing.T) {
	s := startServer(t, 1, withHistory(10))
	for since, isGone := range map[string]bool{"": false, "first": false, "other-1": true, strings.Repeat("x", 40) + "-1": true, "%20": true} {
		c := s.upgradeTwoWay(t, "/news?since="+since)
		if got := c.command(); strings.HasPrefix(got, "GAP news ") != isGone {
			t.Errorf("since %q: %q", since, got)
		}
		c.Close()
	}
	s.checkNothingLeft(t)
}

// Who subscribes again before he is answered is answered in order, and as often as he
// asked, with the position where he begins.
func TestTwoWaySubscribesAgainBeforeTheAnswer(t *testing.T) {
	held := make(chan func(), 8)
	config := testConfig()
	config.History = channel.NewHistory(channel.HistoryConfig{Messages: 10, Start: func(work func()) { held <- work }})
	s := startServer(t, 1, config)
	answer := func() { (<-held)() }
	c := s.upgradeTwoWay(t, "/")
	c.send(join(text("SUB a"), text("SUB a"), text("SUB a first"), text("PING")))
	c.expectCommands("PONG")
	answer()
	first := c.command()
	if !strings.HasPrefix(first, "OK SUB a ") {
		t.Fatalf("got %q", first)
	}
	c.expectCommands(first, first)
	c.send(text("SUB a"))
	c.expectCommands("OK SUB a")

	// An UNSUB in between has those before it answered first.
	c.send(join(text("SUB b first"), text("SUB b"), text("UNSUB b"), text("SUB b"), text("SUB b")))
	c.expectCommands("OK SUB b", "OK SUB b", "OK UNSUB b")
	answer()
	b := c.command()
	if !strings.HasPrefix(b, "OK SUB b ") {
		t.Fatalf("got %q", b)
	}
	c.expectCommands(b)

	c.send(bytes.Repeat(text("SUB c"), 1+subsAgainMax+1))
	c.expectCommands("ERR SUB c overload")
	answer()
	for i := range 1 + subsAgainMax {
		if got := c.command(); !strings.HasPrefix(got, "OK SUB c ") {
			t.Fatalf("answer %d is %q", i, got)
		}
	}
	c.send(text("PING"))
	c.expectCommands("PONG")
	c.Close()
	s.checkNothingLeft(t)
}

// A path that names no channel is for c10m.v1 only.
func TestTwoWayRoot(t *testing.T) {
	s := startServer(t, 1, testConfig())
	for path, want := range map[string]int{"/": 0, "/?x=y": 0, "/news": 1} {
		c := s.upgradeTwoWay(t, path)
		if n := s.publish(t, "news", "x"); n != want {
			t.Errorf("%q: %d members", path, n)
		}
		if want == 1 {
			c.expectCommands("OK SUB news", "MSG news #\nx")
		}
		c.send(text("PUB news\nx"))
		c.expectCommands("ERR PUB news not_allowed") // nobody may publish here
		c.Close()
	}
	for _, request := range []string{upgradeRequest("/"), upgradeRequest("/?x=y"), string(tokenRequest("/", "Sec-WebSocket-Protocol: c10m.token, t"))} {
		c := s.connect(t)
		c.send([]byte(request))
		if r := c.response(); r.StatusCode != 400 {
			t.Errorf("%.20q: %s", request, r.Status)
		}
		c.Close()
	}
	s.checkNothingLeft(t)
}

func TestTwoWayLimitOfChannels(t *testing.T) {
	s := startServer(t, 1, testConfig())
	c := s.upgradeTwoWay(t, "/0")
	var all []byte
	var want []string
	for i := 1; i < membershipsMax+2; i++ {
		all = append(all, text(fmt.Sprint("SUB ", i))...)
		if i < membershipsMax {
			want = append(want, fmt.Sprint("OK SUB ", i))
		} else {
			want = append(want, fmt.Sprint("ERR SUB ", i, " too_many"))
		}
	}
	c.send(all)
	c.expectCommands("OK SUB 0")
	c.expectCommands(want...)
	c.send(join(text("UNSUB 64"), text("SUB new")))
	c.expectCommands("OK UNSUB 64", "OK SUB new")
	for i := range membershipsMax {
		s.publish(t, fmt.Sprint(i), "x")
	}
	s.publish(t, "new", "y")
	for i := range membershipsMax {
		if i != 64 {
			c.expectCommands(fmt.Sprint("MSG ", i, " #\nx"))
		}
	}
	c.expectCommands("MSG new #\ny")
	c.Close()
	s.checkNothingLeft(t)
	s.onLoops(func(_ *poller.Loop, server *Server) {
		if n := server.members.Used(); n != membershipsMax {
			t.Errorf("%d memberships were made for %d at a time", n, membershipsMax)
		}
	})
}

// What commands say does not depend on how they are cut.
func TestTwoWayCutAtEveryByte(t *testing.T) {
	s, publisher := startPublishing(t)
	stream := join(twoWayRequest("/a"), text("SUB b%2F"), clientFrame(0x01, []byte("PU")), clientPing("p"), clientFrame(0x80, []byte("B b/\n1")),
		text("UNSUB a"), text("PING"), text("X"), clientClose(1000, ""))
	want := []string{"OK SUB a", "OK SUB b/", "opcode 10 p", "OK UNSUB a", "PONG", "ERR - - bad_command", "closed with 1000"}
	before := 0
	for cut := 1; cut < len(stream); cut++ {
		c := s.connect(t)
		c.send(stream[:cut])
		s.onLoops(func(*poller.Loop, *Server) {})
		c.send(stream[cut:])
		if r := c.response(); r.StatusCode != 101 {
			t.Fatalf("cut at %d: %s", cut, r.Status)
		}
		var got []string
		for range want {
			got = append(got, c.command())
		}
		slices.Sort(got) // the pong may overtake what came before it in the same read
		sorted := slices.Clone(want)
		slices.Sort(sorted)
		if !slices.Equal(got, sorted) {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		c.Close()
		before++
		waitFor(t, "it is published", func() bool { return len(publisher.all()) == before })
		if last := publisher.all()[before-1]; last != "b/: 1" {
			t.Fatalf("cut at %d: published %q", cut, last)
		}
	}
	s.checkNothingLeft(t)
}

func TestTwoWayTokens(t *testing.T) {
	config, w := tokenConfig(t)
	config.NewPublisher = func(channel.Feedback) channel.Publisher { return &testPublisher{} }
	config.PublishBytesMax, config.InboundBytesTotal = 1000, 1<<20
	s := startServer(t, 1, config)
	token := func(claims jwt.MapClaims) string {
		claims["aud"] = "us"
		return sign(t, tokenSecret, claims)
	}
	open := func(path, token string) (*rawClient, int) {
		c := s.connect(t)
		c.send(tokenRequest(path, "Sec-WebSocket-Protocol: c10m.v1, c10m.token, "+token))
		status := c.response().StatusCode
		if status != 101 {
			c.Close()
		}
		return c, status
	}
	exchange := func(c *rawClient, pairs ...string) {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			c.send(text(pairs[i]))
			c.expectCommands(pairs[i+1])
		}
		c.Close()
	}
	long := make([]string, 60) // beyond the first classes of grants
	for i := range long {
		long[i] = strings.Repeat("x", i) + "?"
	}
	c, status := open("/", token(jwt.MapClaims{"subscribe": append(long, "room-*"), "publish": []string{"say-*"}}))
	if status != 101 {
		t.Fatal(status)
	}
	exchange(c, "SUB room-1", "OK SUB room-1", "SUB say-1", "ERR SUB say-1 not_allowed", "SUB "+strings.Repeat("x", 60), "OK SUB "+strings.Repeat("x", 60),
		"SUB "+strings.Repeat("x", 61), "ERR SUB "+strings.Repeat("x", 61)+" not_allowed",
		"PUB room-1\nx", "ERR PUB room-1 not_allowed", "PUB say-1\n"+strings.Repeat("x", 1001), "ERR PUB say-1 too_big")
	// As much as the head of a request may bring.
	for i := range long {
		long[i] = strings.Repeat("y", 85) + string(rune('a'+i%26)) + "?"
	}
	last := strings.Repeat("y", 85) + "zz"
	c, status = open("/", token(jwt.MapClaims{"subscribe": append(long, "room-*")}))
	if status != 101 {
		t.Fatal(status)
	}
	exchange(c, "SUB room-1", "OK SUB room-1", "SUB "+last, "OK SUB "+last, "SUB say-1", "ERR SUB say-1 not_allowed")
	// The next one gets the room of the first, and no right of it.
	c, status = open("/", token(jwt.MapClaims{"exp": w.unix.Load() + 60}))
	if status != 101 {
		t.Fatal(status)
	}
	exchange(c, "SUB room-1", "ERR SUB room-1 not_allowed", "PUB say-1\nx", "ERR PUB say-1 not_allowed", "PING", "PONG")
	if _, status = open("/room-1", token(jwt.MapClaims{"subscribe": "x"})); status != 403 {
		t.Errorf("a path that the token does not allow: %d", status)
	}
	if _, status = open("/", "rubbish"); status != 401 {
		t.Errorf("a bad token: %d", status)
	}
	c, _ = open("/room-1", token(jwt.MapClaims{"subscribe": "room-1"}))
	s.publish(t, "room-1", "x")
	c.expectCommands("OK SUB room-1", "MSG room-1 #\nx")
	late, _ := open("/room-1", token(jwt.MapClaims{"subscribe": "room-1"}))
	late.send(clientFrame(0x83, nil))
	late.expectCommands("OK SUB room-1", "closed with 1002") // with last words, and then closed
	for _, c := range []*rawClient{c, late} {
		c.Close()
	}
	s.checkNothingLeft(t)
	s.onLoops(func(_ *poller.Loop, server *Server) {
		if n := server.twoWays.grants.Len(); n != 0 {
			t.Errorf("the patterns of %d are kept", n)
		}
	})
}

// A backlog of many batches goes on until it is done.
func TestTwoWayLongBacklog(t *testing.T) {
	kernel := &testKernel{}
	s := startServer(t, 1, testConfig(), kernel.install)
	c := s.upgradeTwoWay(t, "/a", text("SUB b"))
	c.expectCommands("OK SUB a", "OK SUB b")
	kernel.room.Store(1)
	const messages = 300
	for range messages {
		for _, name := range []string{"a", "b"} {
			s.publish(t, name, "x")
		}
	}
	kernel.room.Store(0)
	got := make(map[string]int)
	for range 2 * messages {
		got[c.command()]++
	}
	if got["MSG a #\nx"] != messages || got["MSG b #\nx"] != messages {
		t.Errorf("got %v", got)
	}
	waitFor(t, "nobody waits for room", func() (idle bool) {
		s.onLoops(func(l *poller.Loop, server *Server) {
			l.Walk(0, 10, func(fd uint32) {
				idle = !server.members.Of(fd).IsFull && (server.cold[fd] == nil || !server.cold[fd].held)
			})
		})
		return idle
	})
	c.Close()
	s.checkNothingLeft(t)
}

// Histories of more than two writes come whole though the socket never was full, and
// then what is published.
func TestTwoWayLongHistories(t *testing.T) {
	const kept = 5 * poller.PiecesMax
	s := startServer(t, 1, withHistory(kept))
	for i := range kept {
		for _, name := range []string{"a", "b"} {
			s.publish(t, name, fmt.Sprint(i))
		}
	}
	c := s.upgradeTwoWay(t, "/", join(text("SUB a first"), text("SUB b first")))
	next := make(map[string]int)
	hear := func(total int) {
		for next["a"]+next["b"] < total {
			command := c.command()
			if !strings.HasPrefix(command, "MSG ") {
				continue
			}
			name := command[len("MSG "):][:1]
			if want := fmt.Sprint("\n", next[name]); !strings.HasSuffix(command, want) {
				t.Fatalf("after %d of %s came %q", next[name], name, command)
			}
			next[name]++
		}
	}
	hear(2 * kept)
	s.publish(t, "a", fmt.Sprint(kept))
	hear(2*kept + 1)
	c.Close()
	s.checkNothingLeft(t)
}

// A client that asks and does not read is not read from, and loses no answer.
func TestTwoWayAnswersWaitForTheirReader(t *testing.T) {
	kernel := &testKernel{}
	s := startServer(t, 1, testConfig(), kernel.install)
	c := s.upgradeTwoWay(t, "/a")
	c.expectCommands("OK SUB a")
	kernel.room.Store(1) // sockets are full
	const asked = 3000
	go func() {
		for range asked {
			if _, err := c.Write(text("PING")); err != nil {
				t.Error(err)
			}
		}
	}()
	waitFor(t, "it is not read from", func() (deaf bool) {
		s.onLoops(func(l *poller.Loop, server *Server) {
			l.Walk(0, 10, func(fd uint32) { deaf = server.cold[fd] != nil && server.cold[fd].held })
		})
		return deaf
	})
	s.publish(t, "a", "in between")
	kernel.room.Store(0)
	delivered := false
	for answered := 0; answered < asked; {
		switch got := c.command(); got {
		case "PONG":
			answered++
		case "MSG a #\nin between":
			delivered = true
		default:
			t.Fatalf("after %d answers: %q", answered, got)
		}
	}
	if !delivered {
		t.Error("the delivery is missing")
	}
	c.send(clientClose(1000, ""))
	c.expectCommands("closed with 1000")
	c.Close()
	s.checkNothingLeft(t)
}

func TestEscapedNames(t *testing.T) {
	for i := range 256 {
		name := []byte{'a', byte(i), 'b'}
		escaped := wire.AppendEscaped(nil, name)
		back, ok := wire.AppendUnescaped(nil, escaped)
		if string(back) != string(name) || !ok {
			t.Errorf("%q becomes %q becomes %q", name, escaped, back)
		}
		for _, b := range escaped {
			if b <= ' ' || b > '~' || b == '?' || b == '#' {
				t.Errorf("%q becomes %q", name, escaped)
			}
		}
		// A path means the same, so that a URL can be made of it.
		if path, reason := admission.AppendChannel(nil, append([]byte("/"), escaped...)); channel.ValidName(name) && (reason != reasons.None || string(path) != string(name)) {
			t.Errorf("the path of %q is %q, %v", name, path, reason)
		}
	}
}
