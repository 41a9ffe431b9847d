package load

import (
	"bufio"
	"net"
	"strings"
	"testing"

	"c10m/internal/patience"

	"github.com/tidwall/redcon"
)

// startRedis is one that answers PUBLISH as a Redis does, by a library's parser.
func startRedis(t *testing.T, published chan<- string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := redcon.NewServer("", func(conn redcon.Conn, cmd redcon.Command) {
		var words []string
		for _, a := range cmd.Args {
			words = append(words, string(a))
		}
		switch {
		case words[0] == "AUTH" && words[1] != "secret":
			conn.WriteError("WRONGPASS invalid password")
		case words[0] == "AUTH":
			conn.WriteString("OK")
		case words[1] == "forbidden":
			conn.WriteError("NOPERM no permissions")
		default:
			published <- strings.Join(words[1:], " ")
			conn.WriteInt(3)
		}
	}, nil, nil)
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func TestBus(t *testing.T) {
	published := make(chan string, 10)
	address := startRedis(t, published)
	if _, err := DialBus(address, "wrong"); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("a wrong password: %v", err)
	}
	bus, err := DialBus(address, "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	for _, payload := range []string{"one", "", "\r\n$3\x00\xff"} {
		if err := bus.Publish("news", []byte(payload)); err != nil {
			t.Fatal(err)
		}
		if got := <-published; got != "news "+payload {
			t.Errorf("%q was published as %q", payload, got)
		}
	}
	settled(t, "three answers", func() bool { _, n := bus.Receivers(); return n == 3 })
	if n, _ := bus.Receivers(); n != 3 {
		t.Errorf("%d receivers", n)
	}
	settled(t, "the error of the publish before", func() bool {
		err := bus.Publish("forbidden", nil)
		return err != nil && strings.Contains(err.Error(), "NOPERM")
	})
}

// A bus that does not know, or is not there, is an error and not a number.
func TestSubscribersOfABusThatDoesNotSay(t *testing.T) {
	published := make(chan string, 10)
	for address, wanted := range map[string]string{startRedis(t, published): "does not say", "127.0.0.1:1": "refused"} {
		bus := AskBus(address, "secret")
		if n, err := bus.Of(t.Context(), "forbidden"); err == nil || n != 0 || !strings.Contains(err.Error(), wanted) {
			t.Errorf("%d subscribers, %v", n, err)
		}
		bus.Close()
	}
}

func TestReadInteger(t *testing.T) {
	for text, wanted := range map[string]string{
		":12\r\n": "", "+OK\r\n": "", "-ERR no\r\n": "ERR no", "$3\r\n": "answered", "": "closed", ":\n": "answered",
	} {
		_, err := readInteger(bufio.NewReader(strings.NewReader(text)))
		if (err == nil) != (wanted == "") || err != nil && !strings.Contains(err.Error(), wanted) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// With a channel per connection, messages go round, each to one connection.
func TestDriveOwnChannels(t *testing.T) {
	a := accept(t, false)
	client := start(t, Config{Spread: a.spread(3), Channel: "c%d", FirstSequence: 1, Loops: 2})
	connected(t, client)
	settled(t, "all peers", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.peers) == 3 })
	// Each peer gets one message once all three are published: the three
	// deliveries that Drive waits for.
	var channels []string
	run, err := client.Drive(t.Context(), Drive{Messages: 3, InFlight: 3, StallTimeout: patience.Guard, Send: func(m Message) error {
		channels = append(channels, client.ChannelOf(m.Connection))
		if m.Sequence != 1 {
			t.Errorf("message %+v", m)
		}
		if len(channels) == 3 {
			a.each(func(p *peer) { a.write(p, AppendStampedFrame(nil, 1, Nanos(), 64)) })
		}
		return nil
	}})
	if err != nil || run.Deliveries != 3 || strings.Join(channels, " ") != "c0 c1 c2" {
		t.Errorf("%+v, %v, channels %q", run, err, channels)
	}
}
