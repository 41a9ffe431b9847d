package channel

import (
	"fmt"
	"strings"
	"testing"
)

func presenceConfig() Config {
	config := roomy
	config.Presence = true
	return config
}

func TestChangesAreToldOnce(t *testing.T) {
	h := newHost(t, presenceConfig(), 10)
	told := map[string]string{}
	tell := func(name string, joined, left int, _ Part) bool {
		told[name] += fmt.Sprint("+", joined, "-", left, " ")
		return true
	}
	h.subscribe("a", 1, 2, 3)
	h.subscribe("b", 4)
	h.registry.Unsubscribe(2)
	h.subscribe("gone", 5)
	h.registry.Unsubscribe(5)
	h.registry.Changes(10, func(string, int, int, Part) bool { return false }) // takes nothing
	for h.registry.Changes(1, tell) {
	}
	h.registry.Unsubscribe(1)
	h.registry.Changes(10, tell)
	h.registry.Changes(10, tell)
	if told["a"] != "+3-1 +0-1 " || told["b"] != "+1-0 " || len(told) != 2 {
		t.Errorf("told %v", told)
	}
}

// A number that was asked for between a change and its undoing is told to be over.
func TestChangesAreToldToWhoAsked(t *testing.T) {
	h := newHost(t, presenceConfig(), 10)
	ask := func() Part {
		question := &presenceQuestion{name: []byte("a"), parts: make([]Part, 1)}
		question.done.Add(1)
		h.registry.Letter(&presenceOfLoop{question, 0})
		question.done.Wait()
		return question.parts[0]
	}
	var told []Part
	tell := func(_ string, _, _ int, now Part) bool { told = append(told, now); return true }
	before := ask()
	h.subscribe("a", 1)
	between := ask()
	h.registry.Unsubscribe(1)
	h.registry.Changes(10, tell)
	h.subscribe("a", 1)
	h.registry.Unsubscribe(1) // nobody asked
	h.registry.Changes(10, tell)
	if len(told) != 1 || told[0].Members != 0 || between.Members != 1 || before.Members != 0 ||
		told[0].Version <= between.Version || between.Version <= before.Version || told[0].Of != before.Of || before.Of == "" {
		t.Errorf("asked: %v and %v, told: %v", before, between, told)
	}
}

func TestChangesAreBounded(t *testing.T) {
	h := newHost(t, presenceConfig(), presenceChannelsMax+10)
	for fd := range presenceChannelsMax + 10 {
		h.subscribe(fmt.Sprint(fd), uint32(fd+1))
	}
	if n, dropped := len(h.registry.presence.changes), h.stats.PresenceDropped.Load(); n != presenceChannelsMax || dropped != 10 {
		t.Errorf("%d channels are remembered and %d dropped", n, dropped)
	}
}

// A channel whose presence: channel would have too long a name is told of to nobody, and
// that is counted.
func TestChangesOfLongNamesAreCounted(t *testing.T) {
	h := newHost(t, presenceConfig(), 10)
	longest := strings.Repeat("x", NameBytesMax-len(PresencePrefix))
	h.subscribe(longest, 1)
	h.subscribe(longest+"x", 2, 3)
	h.registry.Unsubscribe(3)
	if n := h.stats.PresenceUnnamed.Load(); n != 3 || len(h.registry.presence.changes) != 1 {
		t.Errorf("%d were counted, and %d channels changed", n, len(h.registry.presence.changes))
	}
}
