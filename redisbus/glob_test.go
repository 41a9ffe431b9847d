package redisbus

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
)

// TestGlobIsNotExponential would not end within the age of the universe if it
// were. Through the bus, so that the limits are part of it.
func TestGlobIsNotExponential(t *testing.T) {
	b := startEmbedded(t, newDoor(nil), "")
	r := dialRaw(t, b.Addr().String())
	r.send(cmd("PSUBSCRIBE", strings.Repeat("a*", subscriptionBytesMax/2-1)+"b"))
	r.readReply()
	if n := publishAt(t, b.Addr().String(), strings.Repeat("a", 10_000), "x"); n != 0 {
		t.Errorf("%d receivers", n)
	}
}

// FuzzRESP sends bytes to a bus and then, on the same or a new connection,
// checks that it still works. What the walk lets through, redcon must split.
func FuzzRESP(f *testing.F) {
	for _, c := range conversations {
		if len(c.send) < 2000 {
			f.Add([]byte(c.send), uint8(3), c.password != "")
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, cut uint8, protected bool) {
		password := ""
		if protected {
			password = "pw"
		}
		b := newEmbedded(EmbeddedConfig{Password: password}, testDoor(), nopLog)
		ours, theirs := net.Pipe()
		_ = theirs.SetDeadline(time.Now().Add(hang))
		b.admit(ours)
		answered := make(chan string)
		go func() {
			var all strings.Builder
			_, _ = bufio.NewReader(theirs).WriteTo(&all)
			answered <- all.String()
		}()
		at := min(int(cut), len(input))
		_, _ = theirs.Write(input[:at])
		_, _ = theirs.Write(input[at:])
		_ = theirs.Close()
		if answer := <-answered; strings.Contains(answer, errDisagree.Error()) {
			t.Errorf("the walk let through what redcon does not take: %q", input)
		}
		b.ended.Wait()
		if s := b.Stats(); s.Peers != 0 || s.Subscriptions != 0 || s.QueuedBytes != 0 {
			t.Errorf("left over: %+v", s)
		}
		hello := ""
		if protected {
			hello = cmd("AUTH", "pw")
		}
		if got, want := talk(t, b, hello+cmd("PING")), strings.Repeat(ok, len(hello)/len(cmd("AUTH", "pw")))+pong+ok; got != want {
			t.Errorf("then a ping: %q, want %q", got, want)
		}
	})
}
