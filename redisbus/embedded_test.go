package redisbus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"c10m/bus/bustest"
	"c10m/channel"
)

// TestMessages: a subscriber through a channel and n patterns gets n+1 messages
// and counts n+1 times; in the frames of its protocol.
func TestMessages(t *testing.T) {
	for _, kind := range []string{"*", ">"} {
		b := startEmbedded(t, testDoor(), "")
		r := dialRaw(t, b.Addr().String())
		if kind == ">" {
			r.do("HELLO", "3")
		}
		r.do("SUBSCRIBE", "news")
		r.do("PSUBSCRIBE", "n*")
		r.do("PSUBSCRIBE", "*s")
		r.do("PSUBSCRIBE", "x*")
		r.do("SSUBSCRIBE", "news")
		p := dialRaw(t, b.Addr().String())
		p.send(cmd("PUBLISH", "news", "a\r\nb"))
		p.expect(":6\r\n") // 3 WebSockets, one channel, two patterns
		r.expect(array(kind, bulk("message"), bulk("news"), bulk("a\r\nb")))
		one := array(kind, bulk("pmessage"), bulk("n*"), bulk("news"), bulk("a\r\nb"))
		two := array(kind, bulk("pmessage"), bulk("*s"), bulk("news"), bulk("a\r\nb"))
		if got := r.readReply() + r.readReply(); got != one+two && got != two+one {
			t.Errorf("the pattern messages are %q", got)
		}
		p.send(cmd("SPUBLISH", "news", "shard"))
		p.expect(":4\r\n")
		r.expect(array(kind, bulk("smessage"), bulk("news"), bulk("shard")))
		p.send(cmd("PUBLISH", "-/c10m/x", "reserved"))
		p.expect(":0\r\n")
		p.send(cmd("PUBSUB", "NUMSUB", "news", "x") + cmd("PUBSUB", "NUMPAT") + cmd("PUBSUB", "SHARDCHANNELS", "*"))
		p.expect(array("*", bulk("news"), ":4\r\n", bulk("x"), ":0\r\n") + ":3\r\n" + array("*", bulk("news")))
		r.send(cmd("RESET") + cmd("PING"))
		r.expect("+RESET\r\n" + pong)
		if s := b.Stats(); s.Subscriptions != 0 || s.MessagesIn != 2 || s.ReservedIn != 1 || s.BytesIn != 9 {
			t.Errorf("stats %+v", s)
		}
	}
}

// TestReservedIsRouted: a probe of another server comes back to it, and the Door
// never sees it.
func TestReservedIsRouted(t *testing.T) {
	door := testDoor()
	b := startEmbedded(t, door, "")
	r := dialRaw(t, b.Addr().String())
	r.do("PSUBSCRIBE", "*")
	p := dialRaw(t, b.Addr().String())
	p.send(cmd("PUBLISH", "-/c10m/probe/x", "1") + cmd("PUBLISH", "-x", "2"))
	p.expect(":1\r\n:1\r\n")
	r.expect(array("*", bulk("pmessage"), bulk("*"), bulk("-/c10m/probe/x"), bulk("1")))
	r.expect(array("*", bulk("pmessage"), bulk("*"), bulk("-x"), bulk("2")))
	door.Wait(t, "only the other", has(bustest.To("-x", "2")))
}

// TestRESP3Subscribed: all commands are allowed, also publishing to oneself.
func TestRESP3Subscribed(t *testing.T) {
	b := startEmbedded(t, testDoor(), "")
	r := dialRaw(t, b.Addr().String())
	r.do("HELLO", "3")
	r.send(cmd("SUBSCRIBE", "one") + cmd("PING") + cmd("PING", "x") + cmd("PUBLISH", "one", "me") + cmd("CLIENT", "GETNAME") + cmd("UNSUBSCRIBE") + cmd("UNSUBSCRIBE"))
	r.expect(confirmed(">", "subscribe", "one", 1))
	// As in Redis, a push may overtake the replies around it.
	got := r.readReply() + r.readReply() + r.readReply() + r.readReply() + r.readReply()
	push := array(">", bulk("message"), bulk("one"), bulk("me"))
	if strings.Replace(got, push, "", 1) != pong+bulk("x")+":2\r\n"+"_\r\n" {
		t.Errorf("got %q", got)
	}
	r.expect(confirmed(">", "unsubscribe", "one", 0) + array(">", bulk("unsubscribe"), "_\r\n", ":0\r\n"))
	r.send(cmd("SUBSCRIBE", "one") + cmd("HELLO", "2") + cmd("PUBLISH", "one", "x"))
	r.expect(confirmed(">", "subscribe", "one", 1))
	r.readReply()
	r.expect(refused("publish"))
}

func TestHello(t *testing.T) {
	b := startEmbedded(t, testDoor(), "pw")
	r := dialRaw(t, b.Addr().String())
	for proto, kind := range map[string]string{"2": "*14", "3": "%7"} {
		want := kind + "\r\n" + bulk("server") + bulk("10m-server") + bulk("version") + bulk("7.0.0") + bulk("proto") + ":" + proto + "\r\n" +
			bulk("id") + ":1\r\n" + bulk("mode") + bulk("standalone") + bulk("role") + bulk("master") + bulk("modules") + "*0\r\n"
		if got := r.do("HELLO", proto, "AUTH", "default", "pw", "SETNAME", "me"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := r.do("CLIENT", "GETNAME"); got != bulk("me") {
		t.Errorf("name %q", got)
	}
	if got := r.do("CLIENT", "INFO"); !strings.Contains(got, "id=1 ") || !strings.Contains(got, " name=me ") || strings.Contains(got, "pw") {
		t.Errorf("client info %q", got)
	}
	dialRaw(t, b.Addr().String()).do("HELLO", "2", "AUTH", "default", "wrong")
	if n := b.Stats().AuthFailures; n != 1 {
		t.Errorf("%d auth failures", n)
	}
}

// TestPipelineWaitsOnce: the receipts of one read are waited for when all of it
// has been handed over. The Door here settles none before it has seen them all.
func TestPipelineWaitsOnce(t *testing.T) {
	const n = 200
	door := testDoor()
	var open []*channel.Receipt
	door.Receipts = func(int) *channel.Receipt {
		open = append(open, channel.NewReceipt(1))
		if len(open) == n {
			for i := n - 1; i >= 0; i-- { // not in order
				open[i].Settle(i)
			}
		}
		return open[len(open)-1]
	}
	b := startEmbedded(t, door, "")
	r := dialRaw(t, b.Addr().String())
	var send, want strings.Builder
	for i := range n {
		send.WriteString(cmd("PUBLISH", "a", "x"))
		fmt.Fprintf(&want, ":%d\r\n", i)
	}
	r.send(send.String())
	r.expect(want.String())
}

// TestLaggard: a subscriber that does not read is disconnected and counted, and
// neither the publisher nor another subscriber notices.
func TestLaggard(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	b, err := ListenEmbedded(EmbeddedConfig{Addr: "127.0.0.1:0"}, newDoor(nil), zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer closeBus(t, b)
	good, lag, p := dialRaw(t, b.Addr().String()), dialRaw(t, b.Addr().String()), dialRaw(t, b.Addr().String())
	good.do("SUBSCRIBE", "a")
	lag.do("SUBSCRIBE", "a")
	payload := strings.Repeat("x", 1<<20)
	sent := 0
	for ; b.Stats().PeersClosed["lagged"] == 0; sent++ {
		if sent > 200 {
			t.Fatal("200 MiB are queued for a subscriber that reads nothing")
		}
		p.do("PUBLISH", "a", fmt.Sprintf("%d:%s", sent, payload[:len(payload)-10]))
		if got := good.readReply(); !strings.Contains(got[:60], fmt.Sprintf("\r\n%d:x", sent)) {
			t.Fatalf("message %d: %q", sent, got[:60])
		}
	}
	if sent <= subscriberQueueBytesMax>>20-1 {
		t.Errorf("disconnected after %d MiB", sent)
	}
	if got := p.do("PUBLISH", "a", "end"); got != ":1\r\n" {
		t.Errorf("%q receivers", got)
	}
	good.expect(array("*", bulk("message"), bulk("a"), bulk("end")))
	eventually(t, "gone and forgotten", func() bool { s := b.Stats(); return s.Peers == 2 && s.QueuedBytes == 0 && s.Subscriptions == 1 })
	if s := b.Stats(); s.PeersClosed["lagged"] != 1 {
		t.Errorf("stats %+v", s)
	}
	if n := logs.FilterMessage("a RESP peer was disconnected").Len(); n != 1 {
		t.Errorf("%d log lines", n)
	}
}

// TestUnreadReplies: a peer that asks and never reads is not read from, and so
// queues no more than the limit.
func TestUnreadReplies(t *testing.T) {
	b := startEmbedded(t, newDoor(nil), "")
	r := dialRaw(t, b.Addr().String())
	word := strings.Repeat("x", 100<<10)
	const n = 400
	go func() {
		for range n {
			if _, err := r.Write([]byte(cmd("ECHO", word))); err != nil {
				return
			}
		}
	}()
	eventually(t, "full", func() bool { return b.Stats().QueuedBytes > replyQueueBytesMax })
	for range n {
		if got := r.readReply(); got != bulk(word) {
			t.Fatalf("an echo of %d bytes", len(got))
		}
		if q := b.Stats().QueuedBytes; q > replyQueueBytesMax+200<<10 {
			t.Fatalf("%d bytes are queued", q)
		}
	}
}

func TestListenErrors(t *testing.T) {
	foreign, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	go func() {
		for {
			conn, err := foreign.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	ours, theirs := startEmbedded(t, newDoor(nil), ""), startRedis(t)
	locked := startRedis(t, "--requirepass", "x")
	for _, c := range []struct{ addr, want string }{
		{":0", "--bus-password"}, {"0.0.0.0:0", "--bus-password"}, {"[::]:0", "--bus-listen"},
		{"nonsense", "--bus-listen"}, {"127.0.0.1", "--bus-listen"}, {"127.0.0.1:99999", "--bus-listen"},
		{ours.Addr().String(), "by another 10m-server; set --bus redis://" + ours.Addr().String() + " to use it, or --bus-listen"},
		{theirs.addr, "by a Redis; set --bus redis://" + theirs.addr + " to use it, or --bus-listen"},
		{locked.addr, "by a Redis or another 10m-server that asks for a password; set --bus"},
		{foreign.Addr().String(), "by something that is no Redis; set"},
	} {
		b, err := ListenEmbedded(EmbeddedConfig{Addr: c.addr}, newDoor(nil), nopLog)
		if err == nil {
			closeBus(t, b)
			t.Errorf("%s: listens", c.addr)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, without %q", c.addr, err, c.want)
		}
	}
	b, err := ListenEmbedded(EmbeddedConfig{Addr: "0.0.0.0:0", Password: "pw"}, newDoor(nil), nopLog)
	if err != nil {
		t.Fatalf("with a password: %v", err)
	}
	closeBus(t, b)
}

// A flakyListener fails like a full descriptor table before each connection.
type flakyListener struct {
	net.Listener
	mu    sync.Mutex
	fails int
}

func (l *flakyListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails > 0 {
		l.fails--
		return nil, errors.New("accept: too many open files")
	}
	return l.Listener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newEmbedded(EmbeddedConfig{}, newDoor(nil), nopLog)
	b.start(&flakyListener{Listener: inner, fails: 5})
	defer closeBus(t, b)
	h := waitUp(t, b, false)
	if !strings.Contains(h.Reason, "too many open files") {
		t.Errorf("health %+v", h)
	}
	if got := dialRaw(t, inner.Addr().String()).do("PING"); got != pong {
		t.Errorf("ping: %q", got)
	}
	waitUp(t, b, true)
	if n := b.Stats().AcceptErrors; n != 5 {
		t.Errorf("%d accept errors", n)
	}
}

func TestTooManyPeers(t *testing.T) {
	b := startEmbedded(t, newDoor(nil), "")
	var first *raw
	for i := range peersMax {
		r := dialRaw(t, b.Addr().String())
		if got := r.do("PING"); got != pong {
			t.Fatalf("ping: %q", got)
		}
		if i == 0 {
			first = r
		}
	}
	dialRaw(t, b.Addr().String()).expectEnd("-ERR max number of clients reached\r\n")
	if n := b.Stats().PeersClosed["peers_max"]; n != 1 {
		t.Errorf("%d refused", n)
	}
	first.send(cmd("QUIT"))
	first.expectEnd(ok)
	eventually(t, "one left", func() bool { return b.Stats().Peers == peersMax-1 })
	if got := dialRaw(t, b.Addr().String()).do("PING"); got != pong {
		t.Errorf("ping: %q", got)
	}
}

// Silent peers, and those without the password, keep nobody out: the oldest gives its
// place to whoever comes.
func TestSilentPeersGiveTheirPlaces(t *testing.T) {
	for _, password := range []string{"", "pw"} {
		b := startEmbedded(t, newDoor(nil), password)
		known := dialRaw(t, b.Addr().String())
		if password != "" {
			known.do("AUTH", password)
		}
		known.do("PING")
		oldest := dialRaw(t, b.Addr().String())
		if password != "" {
			oldest.do("PING") // NOAUTH is no place
		}
		eventually(t, "it is in", func() bool { return b.Stats().Peers == 2 })
		for range peersMax - 2 {
			dialRaw(t, b.Addr().String())
		}
		eventually(t, "all in", func() bool { return b.Stats().Peers == peersMax })
		late := dialRaw(t, b.Addr().String())
		if password != "" {
			late.do("AUTH", password)
		}
		if got := late.do("PING"); got != pong {
			t.Errorf("ping: %q", got)
		}
		oldest.expectEnd("")
		eventually(t, "it is counted", func() bool { return b.Stats().PeersClosed["evicted"] == 1 })
		if got := known.do("PING"); got != pong || b.Stats().Peers > peersMax {
			t.Errorf("who was settled: %q, %d peers", got, b.Stats().Peers)
		}
	}
}

func TestGuessesAreCounted(t *testing.T) {
	b := startEmbedded(t, newDoor(nil), "pw")
	r := dialRaw(t, b.Addr().String())
	r.send(strings.Repeat(cmd("AUTH", "x"), authFailuresMax))
	r.expectEnd(strings.Repeat("-"+errWrongPass+"\r\n", authFailuresMax))
	eventually(t, "they are counted", func() bool {
		s := b.Stats()
		return s.AuthFailures == authFailuresMax && s.PeersClosed["auth_failures"] == 1
	})
}

// What passes the limits of a transaction is not kept, and nothing of it runs.
func TestTransactionsAreBounded(t *testing.T) {
	door := newDoor(nil)
	b := startEmbedded(t, door, "")
	for name, send := range map[string]string{
		"commands": strings.Repeat(cmd("PUBLISH", "a", "x"), transactionCommandsMax+1),
		"bytes":    strings.Repeat(cmd("PUBLISH", "a", strings.Repeat("x", 1<<20)), transactionBytesMax>>20+1),
	} {
		r := dialRaw(t, b.Addr().String())
		go r.Write([]byte(cmd("MULTI") + send + cmd("EXEC") + cmd("PING")))
		refusals := 0
		for line := ""; line != "-"+errExecAbort+"\r\n"; {
			line = r.readReply()
			if strings.HasPrefix(line, "-ERR too much in a transaction") {
				refusals++
			}
		}
		r.expect(pong)
		if refusals == 0 || len(door.All()) != 0 {
			t.Errorf("%s: %d refusals, %d messages", name, refusals, len(door.All()))
		}
	}
}

func TestAuthTimeout(t *testing.T) {
	b := newEmbedded(EmbeddedConfig{Password: "pw"}, newDoor(nil), nopLog)
	b.authTimeout = 50 * time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.start(listener)
	defer closeBus(t, b)
	known := dialRaw(t, listener.Addr().String())
	known.do("AUTH", "pw")
	idle := dialRaw(t, listener.Addr().String())
	idle.expectEnd("")
	eventually(t, "counted", func() bool { return b.Stats().PeersClosed["auth_timeout"] == 1 })
	if got := known.do("PING"); got != pong {
		t.Errorf("ping: %q", got)
	}
}

// TestClose: what was published before is answered, then the peers end.
func TestClose(t *testing.T) {
	door := testDoor()
	open := channel.NewReceipt(1)
	door.Receipts = func(int) *channel.Receipt { return open }
	b := startEmbedded(t, door, "")
	r, idle := dialRaw(t, b.Addr().String()), dialRaw(t, b.Addr().String())
	idle.do("SUBSCRIBE", "a")
	r.send(cmd("PUBLISH", "news", "x"))
	door.Wait(t, "handed over", func(all []doorMessage) bool { return len(all) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close with a Door that does not answer: %v", err)
	}
	open.Settle(7)
	closeBus(t, b)
	idle.expectEnd("")
	if _, err := net.Dial("tcp", b.Addr().String()); err == nil {
		t.Error("still listening")
	}
	if b.Health().Up || b.Stats().Peers != 0 {
		t.Errorf("after Close: %+v %+v", b.Health(), b.Stats())
	}
}

func TestCloseAnswersFirst(t *testing.T) {
	door := testDoor()
	open := channel.NewReceipt(1)
	door.Receipts = func(int) *channel.Receipt { return open }
	b := startEmbedded(t, door, "")
	r := dialRaw(t, b.Addr().String())
	r.send(cmd("PUBLISH", "news", "x"))
	door.Wait(t, "handed over", func(all []doorMessage) bool { return len(all) == 1 })
	closed := make(chan struct{})
	go func() { defer close(closed); closeBus(t, b) }()
	eventually(t, "closing", b.closing.Load)
	open.Settle(7)
	r.expectEnd(":7\r\n")
	<-closed
}

// TestReasons: each reason has a name and a counter of its own.
func TestReasons(t *testing.T) {
	seen := map[string]bool{"": true}
	for _, name := range closeReasonNames {
		if seen[name] {
			t.Errorf("reason %q is empty or twice", name)
		}
		seen[name] = true
	}
	s := startEmbedded(t, newDoor(nil), "").Stats()
	if len(s.PeersClosed) != int(closeReasons)-1 {
		t.Errorf("stats %+v", s)
	}
}

func TestNoSecretsInInfo(t *testing.T) {
	b := startEmbedded(t, newDoor(nil), "s3cret")
	r := dialRaw(t, b.Addr().String())
	r.do("AUTH", "s3cret")
	for _, c := range [][]string{{"INFO"}, {"CLIENT", "LIST"}, {"FOO"}, {"CLIENT", "INFO"}} {
		if got := r.do(c...); strings.Contains(got, "s3cret") {
			t.Errorf("%v tells the password: %q", c, got)
		}
	}
}

// TestRudePeersDoNotFillTheLog: each gets its counter, and all of them one line.
func TestRudePeersDoNotFillTheLog(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	b := newEmbedded(EmbeddedConfig{}, newDoor(nil), zap.New(core))
	const n = 50
	for range n {
		talk(t, b, "*x\r\n")
	}
	b.ended.Wait()
	if s := b.Stats(); s.ProtocolErrors != n || s.PeersClosed["protocol_error"] != n {
		t.Errorf("stats %+v", s)
	}
	// A second line is right when the loop took longer than the interval.
	if lines := logs.Len(); lines == 0 || lines > n/5 {
		t.Errorf("%d log lines about %d peers", lines, n)
	}
}

// TestDisconnectedSubscriber: a peer that vanishes leaves nothing behind, with
// messages for it under way.
func TestDisconnectedSubscriber(t *testing.T) {
	b := startEmbedded(t, newDoor(nil), "")
	p := dialRaw(t, b.Addr().String())
	for range 20 {
		r := dialRaw(t, b.Addr().String())
		r.do("SUBSCRIBE", "a", "b")
		r.do("PSUBSCRIBE", "*")
		p.send(strings.Repeat(cmd("PUBLISH", "a", "x"), 50))
		r.Close()
		for range 50 {
			p.readReply()
		}
	}
	eventually(t, "nothing left", func() bool { s := b.Stats(); return s.Peers == 1 && s.Subscriptions == 0 && s.QueuedBytes == 0 })
	if got := p.do("PUBLISH", "a", "x"); got != ":0\r\n" {
		t.Errorf("receivers %q", got)
	}
}

// A halfConn is a pipe whose sending side can be closed alone.
type halfConn struct {
	net.Conn
	half chan struct{}
}

func (c halfConn) CloseWrite() error { close(c.half); return nil }

// TestLinger: behind a protocol error the bus reads on, as a socket closed with
// unread bytes sends a reset that may overtake the error.
func TestLinger(t *testing.T) {
	b := newEmbedded(EmbeddedConfig{}, newDoor(nil), nopLog)
	ours, theirs := net.Pipe()
	_ = theirs.SetDeadline(time.Now().Add(hang))
	half := make(chan struct{})
	b.admit(halfConn{ours, half})
	r := &raw{t: t, Conn: theirs, in: bufio.NewReader(theirs)}
	r.send("*x\r\n")
	r.expect("-ERR Protocol error: invalid multibulk length\r\n")
	select {
	case <-half:
	case <-time.After(hang):
		t.Fatal("the sending side was not closed by itself")
	}
	r.send("and what was under way already\r\n")
	theirs.Close()
	b.ended.Wait()
}
