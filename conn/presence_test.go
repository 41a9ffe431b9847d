package conn

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"c10m/channel"
	"c10m/conn/reasons"
)

// A presenceSink is a channel.Publisher that adds up what it is told.
type presenceSink struct {
	mu           sync.Mutex
	full         bool
	joined, left map[string]int
	parts        map[string]presencePart // the latest, by channel and loop
	events       int
}

type presencePart struct {
	Of          string
	Connections int
	Version     int
}

// take is what everybody does with a part, asked for or told.
func (p *presenceSink) take(name string, part presencePart) {
	if old, isThere := p.parts[name+part.Of]; !isThere || part.Version > old.Version {
		p.parts[name+part.Of] = part
	}
}

func (p *presenceSink) connections(name string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, part := range p.parts {
		if strings.HasPrefix(key, name) {
			n += part.Connections
		}
	}
	return n
}

func (p *presenceSink) Publish(_ uint64, name, payload []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var event struct {
		Joined, Left int
		presencePart
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		panic(err)
	}
	p.joined[string(name)] += event.Joined
	p.left[string(name)] += event.Left
	p.take(string(name), event.presencePart)
	p.events++
	return true
}

func (p *presenceSink) PublishAnswered(uint64, []byte, []byte, []byte) bool {
	panic("nobody waits for presence")
}

func (p *presenceSink) Full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.full
}

func (p *presenceSink) has(name string, joined, left int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.joined[name] == joined && p.left[name] == left
}

func TestPresence(t *testing.T) {
	sink := &presenceSink{joined: map[string]int{}, left: map[string]int{}, parts: map[string]presencePart{}}
	config := testConfig()
	config.NewPresence = func(channel.Feedback) channel.Publisher { return sink }
	config.Channel.Presence = true
	s := startServer(t, 2, config)
	s.dial(t, "presence:news") // is heard of nowhere
	s.dial(t, strings.Repeat("x", 250))
	stays, leaves := s.dial(t, "news"), s.dial(t, "news")
	waitFor(t, "two to come", func() bool { return sink.has("presence:news", 2, 0) })
	leaves.Close()
	waitFor(t, "one to leave", func() bool { return sink.has("presence:news", 2, 1) })

	// While the bus takes nothing, changes wait, and add up.
	sink.mu.Lock()
	sink.full = true
	sink.mu.Unlock()
	for i := range 50 {
		s.dial(t, fmt.Sprint("room/", i%2))
	}
	stays.Close()
	waitFor(t, "its end", func() bool { return s.closes(reasons.ClientGone) == 2 })
	sink.mu.Lock()
	sink.full = false
	sink.mu.Unlock()
	waitFor(t, "fifty to come", func() bool { return sink.has("presence:room/0", 25, 0) && sink.has("presence:room/1", 25, 0) })
	waitFor(t, "the last to leave", func() bool { return sink.has("presence:news", 2, 2) })
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if len(sink.joined) != 3 {
		t.Errorf("presence of %v", sink.joined)
	}
}

// Who asks how many there are and hears who comes counts right, whichever is in which
// number, and in whatever order he learns it.
func TestPresenceIsCountedRight(t *testing.T) {
	sink := &presenceSink{joined: map[string]int{}, left: map[string]int{}, parts: map[string]presencePart{}}
	config := testConfig()
	config.NewPresence = func(channel.Feedback) channel.Publisher { return sink }
	config.Channel.Presence = true
	s := startServer(t, 2, config)
	s.shared.CountWith(s.hub)
	ask := func() (answer struct {
		Channel     string
		Connections int
		Presence    []presencePart
	}) {
		c := s.connect(t)
		defer c.Close()
		c.send([]byte("GET /-/channels/news HTTP/1.1\r\nHost: h\r\n\r\n"))
		if err := json.NewDecoder(c.response().Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	const stay = 7
	var leave []net.Conn
	for i := range stay + 5 {
		if c := s.dial(t, "news"); i >= stay {
			leave = append(leave, c)
		}
		if answer := ask(); answer.Connections != i+1 || answer.Channel != "news" || len(answer.Presence) != 2 {
			t.Fatalf("%d are there, and the answer is %+v", i+1, answer)
		} else {
			sink.mu.Lock()
			for _, part := range answer.Presence {
				sink.take("presence:news", part)
			}
			sink.mu.Unlock()
		}
	}
	for _, c := range leave {
		c.Close()
	}
	waitFor(t, "those who left are told of", func() bool { return sink.connections("presence:news") == stay })
	early := ask()
	s.dial(t, "news")
	waitFor(t, "the last to come is told of", func() bool { return sink.connections("presence:news") == stay+1 })
	sink.mu.Lock()
	for _, part := range early.Presence {
		sink.take("presence:news", part)
	}
	sink.mu.Unlock()
	if n := sink.connections("presence:news"); n != stay+1 {
		t.Errorf("an answer that came late makes it %d", n)
	}
}
