package conn

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A presenceSink is a Publisher that adds up what it is told.
type presenceSink struct {
	mu           sync.Mutex
	full         bool
	joined, left map[string]int
	events       int
}

func (p *presenceSink) Publish(_ uint64, name, payload []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var event struct{ Joined, Left int }
	if err := json.Unmarshal(payload, &event); err != nil {
		panic(err)
	}
	p.joined[string(name)] += event.Joined
	p.left[string(name)] += event.Left
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
	sink := &presenceSink{joined: map[string]int{}, left: map[string]int{}}
	config := testConfig()
	config.NewPresence = func(Feedback) Publisher { return sink }
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
	waitFor(t, "its end", func() bool { return s.closes(ClientGone) == 2 })
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
