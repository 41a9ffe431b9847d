package channel

import (
	"fmt"
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
	tell := func(name string, joined, left int) bool {
		told[name] += fmt.Sprint("+", joined, "-", left, " ")
		return true
	}
	h.subscribe("a", 1, 2, 3)
	h.subscribe("b", 4)
	h.registry.Unsubscribe(2)
	h.subscribe("gone", 5)
	h.registry.Unsubscribe(5)
	h.registry.Changes(10, func(string, int, int) bool { return false }) // takes nothing
	for h.registry.Changes(1, tell) {
	}
	h.registry.Unsubscribe(1)
	h.registry.Changes(10, tell)
	h.registry.Changes(10, tell)
	if told["a"] != "+3-1 +0-1 " || told["b"] != "+1-0 " || len(told) != 2 {
		t.Errorf("told %v", told)
	}
}

func TestChangesAreBounded(t *testing.T) {
	h := newHost(t, presenceConfig(), presenceChannelsMax+10)
	for fd := range presenceChannelsMax + 10 {
		h.subscribe(fmt.Sprint(fd), uint32(fd+1))
	}
	if n, dropped := len(h.registry.presence), h.stats.PresenceDropped.Load(); n != presenceChannelsMax || dropped != 10 {
		t.Errorf("%d channels are remembered and %d dropped", n, dropped)
	}
}
