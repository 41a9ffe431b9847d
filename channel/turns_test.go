package channel

import "testing"

// Where loops share processors, a message to few is urgent while a sweep over
// many is under way, or somebody has a crowd of events, and only then.
func TestAMessageToFewDuringASweepIsUrgent(t *testing.T) {
	h := newHost(t, roomy, 200)
	h.subscribe("large", span(1, 150)...)
	h.subscribe("small", 151)
	h.publish("small", []byte("s"))
	h.settle()
	h.publish("large", []byte("l"))
	h.publish("large", []byte("m"))
	if h.urgent != 0 {
		t.Fatalf("%d messages were urgent", h.urgent)
	}
	h.turn()
	h.publish("small", []byte("t"))
	if h.urgent != 1 {
		t.Fatalf("%d messages were urgent in the middle of a sweep", h.urgent)
	}
	h.settle()
	h.publish("small", []byte("u"))
	if h.urgent != 1 {
		t.Error("a message is urgent though the sweep is over")
	}
	h.crowded = true
	h.publish("small", []byte("v"))
	h.publish("large", []byte("n"))
	if h.urgent != 2 {
		t.Errorf("%d messages were urgent, the last while others were crowded", h.urgent)
	}
	h.settle()
	h.wantStream(151, "stuv")
	h.check()
}

// Without a seat, a turn serves the small channels and leaves the sweep alone;
// with one, while others wait, its slice is short.
func TestTurnsOfALoopThatSharesItsProcessor(t *testing.T) {
	h := newHost(t, roomy, 200)
	h.subscribe("large", span(1, 150)...)
	h.subscribe("small", 151)
	h.publish("large", []byte("l"))
	h.publish("small", []byte("s"))
	h.recordOrder, h.standing = true, true
	if !h.registry.Work() {
		t.Fatal("the sweep is forgotten")
	}
	if len(h.order) != 1 || h.order[0] != 151 {
		t.Fatalf("without a seat %d writes were made", len(h.order))
	}
	h.standing, h.hurried = false, true
	h.registry.Work()
	if len(h.order) != 1+sliceWritesHurried {
		t.Errorf("a short slice made %d writes", len(h.order)-1)
	}
	h.hurried = false
	h.registry.Work()
	if len(h.order) != 1+sliceWritesHurried+sliceWritesMax {
		t.Errorf("a slice made %d writes", len(h.order)-1-sliceWritesHurried)
	}
	h.settle()
	h.wantStream(1, "l")
	h.check()
}
