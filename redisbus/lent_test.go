package redisbus

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"c10m/channel"
	"c10m/internal/patience"
	"c10m/poller"
	"c10m/poller/epoll"
)

// A lender is a bus that lends its peers to one loop, which has no connection but them.
type lender struct {
	*Embedded
	hub *channel.Hub
}

// emptyHome is that loop, and its handler.
type emptyHome struct{ *poller.Loop }

func (emptyHome) Wants(uint32) bool                         { return false }
func (emptyHome) MembersOf([]byte, uint32) (n int, ok bool) { return 0, true }
func (emptyHome) Letter(any)                                {}
func (emptyHome) Open(uint32, poller.Tag)                   {}
func (emptyHome) Event(uint32, poller.Event)                {}
func (emptyHome) Closed(uint32)                             {}
func (emptyHome) Full() bool                                { return false }
func (emptyHome) Work() bool                                { return false }
func (emptyHome) Tick() int64                               { return 1 << 62 }

const lentPayloadMax = 2 << 20

// newLender starts a bus; without a loop if it is not to lend.
func newLender(t *testing.T, lends bool) *lender {
	t.Helper()
	p := poller.New(poller.Config{Loops: 1, NewHandler: func(l *poller.Loop) poller.Handler { return emptyHome{l} }})
	if _, err := epoll.Start(p, epoll.Config{Loops: 1, DescriptorsMax: 1 << 16}); err != nil {
		t.Fatal(err)
	}
	home := emptyHome{p.Loops()[0]}
	l := &lender{hub: channel.NewHub([]channel.Poster{home}, channel.HubConfig{
		Frame: bytes.Clone, PayloadBytesMax: lentPayloadMax, Now: poller.Now,
	})}
	var err error
	if l.Embedded, err = ListenEmbedded(EmbeddedConfig{Addr: "127.0.0.1:0"}, l.hub, nopLog); err != nil {
		t.Fatal(err)
	}
	if lends {
		l.LendTo([]Host{{home.Loop, l.hub.Shortcuts([]channel.Home{home})[0]}})
	}
	t.Cleanup(func() { l.close(t); p.Stop() })
	return l
}

func (l *lender) close(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience.Guard)
	defer cancel()
	if err := l.Embedded.Close(ctx); err != nil {
		t.Error(err)
	}
}

func (l *lender) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(patience.Deadline())
	t.Cleanup(func() { c.Close() })
	return c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("heard %q %v, want %q", got[:n], err, want)
	}
}

const aPublish = "*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$2\r\nhi\r\n"

// publisher dials, and publishes until it is lent to the loop.
func (l *lender) publisher(t *testing.T) net.Conn {
	t.Helper()
	c, before := l.dial(t), l.lent.Load()
	for l.hosts.Load() != nil && l.lent.Load() == before || l.hosts.Load() == nil && l.count.commands.Load() < lendAfterMin {
		say(t, c, aPublish)
		hear(t, c, ":0\r\n")
	}
	return c
}

// The conversations that a publisher may begin after it was lent to a loop.
var lentConversations = map[string]string{
	"publishes":               strings.Repeat(aPublish, 1000),
	"inline, with quotes":     "PUBLISH news \"a\\nb\"\r\npublish news 'c d'\r\n\r\nPUBLISH news e\r\n",
	"other commands":          aPublish + "PING\r\n" + aPublish + "*1\r\n$4\r\nPING\r\nCLIENT GETNAME\r\n" + aPublish,
	"inline, then another":    aPublish + "ECHO \"a\\x41\"\r\n" + aPublish,
	"an unknown command":      aPublish + "NONSENSE \"a\\tb\"\r\n" + aPublish,
	"too many words":          aPublish + "PUBLISH news a b\r\nPUBLISH news\r\n",
	"a transaction":           aPublish + "MULTI\r\n" + aPublish + aPublish + "EXEC\r\n" + aPublish,
	"a subscription":          aPublish + "SUBSCRIBE other\r\nPING\r\n",
	"HELLO":                   aPublish + "HELLO 3 SETNAME me\r\n" + aPublish + "CLIENT GETNAME\r\n",
	"reserved channels":       aPublish + "PUBLISH -/x hi\r\n" + aPublish,
	"names that nobody has":   aPublish + "PUBLISH \"\\xff\" hi\r\nPUBLISH \"\" hi\r\nPUBLISH " + strings.Repeat("n", 300) + " hi\r\n" + aPublish,
	"empty arrays":            "*0\r\n" + aPublish + "*-1\r\n" + aPublish,
	"a broken array":          aPublish + "*3\r\n$7\r\nPUBLISH\r\n$-2\r\n",
	"a NUL":                   aPublish + "PUBLISH \x00\r\n",
	"unbalanced quotes":       aPublish + "PUBLISH news \"a\r\n",
	"a browser":               aPublish + "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
	"the end in the middle":   aPublish + aPublish[:20],
	"larger than a read":      aPublish + "*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$100000\r\n" + strings.Repeat("x", 100_000) + "\r\n" + aPublish,
	"larger than the Door is": aPublish + "*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$3000000\r\n" + strings.Repeat("x", 3_000_000) + "\r\n" + aPublish,
}

// What a lent peer says is answered as what one says that is not.
func TestLentPeersAreAnsweredAlike(t *testing.T) {
	for name, text := range lentConversations {
		t.Run(name, func(t *testing.T) {
			var answers [2]string
			for i, lends := range []bool{false, true} {
				l := newLender(t, lends)
				c := l.publisher(t)
				go func() { // it may be closed meanwhile
					io.WriteString(c, text)
					c.(*net.TCPConn).CloseWrite()
				}()
				answer, _ := io.ReadAll(c)
				answers[i] = strings.ReplaceAll(string(answer), l.Addr().String(), "")
				if lends && l.hub.Stats().Shortcuts.Load() == 0 {
					t.Error("no loop has published anything")
				}
				patience.Eventually(t, "the peer is gone", func() bool { return l.Stats().Peers == 0 })
			}
			if answers[0] != answers[1] {
				t.Errorf("lent, it is answered with %.300q, else with %.300q", answers[1], answers[0])
			}
		})
	}
}

// However a conversation is cut.
func TestLentPeersAtEverySplit(t *testing.T) {
	text := aPublish + "PUBLISH news \"a\\nb\"\r\n" + aPublish + "PING\r\n" + aPublish
	const want = ":0\r\n:0\r\n:0\r\n+PONG\r\n:0\r\n"
	l := newLender(t, true)
	for cut := 1; cut < len(text); cut++ {
		c, commands := l.publisher(t), l.count.commands.Load()
		say(t, c, text[:cut])
		// The first part is read before the second is there, if it has a whole command.
		if cut >= len(aPublish) {
			patience.Eventually(t, "it is executed", func() bool { return l.count.commands.Load() > commands })
		}
		say(t, c, text[cut:])
		hear(t, c, want)
		c.Close()
	}
}

// A loop does not publish past RESP subscribers: who has its confirmation hears all that is
// published from then on, in order.
func TestLentPeersAndSubscribers(t *testing.T) {
	l := newLender(t, true)
	publisher := l.publisher(t)
	for n := range 20 {
		subscriber := l.dial(t)
		say(t, subscriber, "SUBSCRIBE news\r\n")
		hear(t, subscriber, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
		for range 3 {
			say(t, publisher, aPublish)
			hear(t, publisher, ":1\r\n")
			hear(t, subscriber, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n")
		}
		subscriber.Close()
		patience.Eventually(t, "it is gone", func() bool { return l.Stats().Subscriptions == 0 })
		lent := l.lent.Load()
		for n < 3 && l.lent.Load() == lent { // later it is asked for too many
			say(t, publisher, aPublish)
			hear(t, publisher, ":0\r\n")
		}
	}
}

// Who reads no answers is not read from either, and gets all of them later.
func TestLentPeersThatDoNotRead(t *testing.T) {
	l := newLender(t, true)
	c := l.publisher(t)
	const batches = 4000
	done := make(chan error, 1)
	batch := strings.Repeat(aPublish, 1000)
	go func() {
		for range batches {
			if _, err := io.WriteString(c, batch); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	patience.Eventually(t, "it is no longer read from", func() bool {
		l.Embedded.mu.Lock()
		defer l.Embedded.mu.Unlock()
		for p := range l.peers {
			return p.out.waiting() > 0
		}
		return false
	})
	for n := range batches {
		answers := make([]byte, 4*1000)
		if _, err := io.ReadFull(c, answers); err != nil || string(answers) != strings.Repeat(":0\r\n", 1000) {
			t.Fatalf("batch %d: %v", n, err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What ends a peer from outside ends it at a loop, too.
func TestLentPeersAreEnded(t *testing.T) {
	for name, end := range map[string]func(l *lender, t *testing.T){
		"by the end of the bus": func(l *lender, t *testing.T) { l.close(t) },
		"at once": func(l *lender, t *testing.T) {
			for p := range l.peers {
				p.cut(closeLagged)
			}
			patience.Eventually(t, "it is counted", func() bool { return l.count.closed[closeLagged].Load() == 1 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLender(t, true)
			c := l.publisher(t)
			end(l, t)
			if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
				t.Errorf("heard %q, %v", rest, err)
			}
		})
	}
}

// A lent peer is in CLIENT LIST as any other.
func TestLentPeersAreListed(t *testing.T) {
	l := newLender(t, true)
	c := l.publisher(t)
	other := l.dial(t)
	say(t, other, "CLIENT LIST\r\n")
	room := make([]byte, 4096)
	n, err := other.Read(room)
	if want := fmt.Sprintf("addr=%s", c.LocalAddr()); err != nil || !strings.Contains(string(room[:n]), want) {
		t.Errorf("%q is not in %q, %v", want, room[:n], err)
	}
}
