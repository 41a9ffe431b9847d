package channel

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// newPolls is a host whose descriptors may subscribe for one response.
func newPolls(tb testing.TB, fds int) (h *host, joins *int) {
	h, joins = newHost(tb, roomy, fds), new(int)
	h.hub = &Hub{}
	for format, letter := range map[Format]string{response: "r", lastResponse: "l"} {
		h.hub.config.Formats[format] = Shape{
			func(m *Message) []byte { return append([]byte(letter), m.Payload()...) },
			func(messages []*Message) (all []byte) {
				*joins++
				for _, m := range messages {
					all = append(all, m.As(format)...)
				}
				return all
			},
		}
	}
	return h, joins
}

func (h *host) poll(name string, fds ...uint32) {
	h.tb.Helper()
	h.pollAs(response, name, fds...)
}

func (h *host) pollAs(format Format, name string, fds ...uint32) {
	h.tb.Helper()
	for _, fd := range fds {
		if err := h.registry.SubscribeOnce(fd, []byte(name), format); err != nil {
			h.tb.Fatal(err)
		}
	}
}

// Who polls gets all that there is when the sweep comes, in one write, and nothing
// more until he polls again; a subscriber beside him gets everything.
func TestPollsGetOneResponse(t *testing.T) {
	h, joins := newPolls(t, 100)
	h.subscribe("c", 1)
	h.poll("c", span(2, 100)...)
	for _, burst := range []string{"a", "bcd"} {
		for _, payload := range burst {
			h.publish("c", []byte(string(payload)))
		}
		h.settle()
		h.publish("c", []byte("|"))
		h.settle()
		h.check()
		want := ""
		for _, payload := range burst {
			want += "r" + string(payload)
		}
		for fd := uint32(2); fd <= 100; fd++ {
			h.wantStream(fd, want)
		}
		h.wantStream(1, burst+"|")
		h.poll("c", span(2, 100)...)
	}
	// 99 members in two slices.
	if *joins != 2 {
		t.Errorf("%d responses were made of one burst", *joins)
	}
	if n := h.registry.stats.Members.Load(); n != 100 {
		t.Errorf("%d members", n)
	}
}

// Those whose connection ends with the response get another one, which is made as
// seldom, however they stand among the others.
func TestLastResponsesAreMadeOnce(t *testing.T) {
	h, joins := newPolls(t, 40)
	for _, burst := range []string{"a", "bcd"} {
		for fd := uint32(1); fd <= 40; fd += 2 {
			h.pollAs(response, "c", fd)
			h.pollAs(lastResponse, "c", fd+1)
		}
		want := map[Format]string{}
		for _, payload := range burst {
			h.publish("c", []byte(string(payload)))
			want[response] += "r" + string(payload)
			want[lastResponse] += "l" + string(payload)
		}
		h.settle()
		h.checkEmpty()
		for fd := uint32(1); fd <= 40; fd += 2 {
			h.wantStream(fd, want[response])
			h.wantStream(fd+1, want[lastResponse])
		}
	}
	if *joins != 2 {
		t.Errorf("%d responses were made of one burst", *joins)
	}
}

// A channel whose members all poll is gone when they are served, in the middle of
// a slice.
func TestThePollThatIsServedLastEndsItsChannel(t *testing.T) {
	h, _ := newPolls(t, 3)
	for range 3 {
		h.poll("c", 1, 2, 3)
		h.publish("c", []byte("x"))
		h.settle()
		h.checkEmpty()
		for fd := range uint32(3) {
			h.wantStream(fd+1, "rx")
		}
	}
}

// What one response carries is bounded by messages and bytes, but for the first.
func TestResponsesAreBounded(t *testing.T) {
	sizes := func(messages []*Message) (all []int) {
		for _, m := range messages {
			all = append(all, int(m.payloadBytes))
		}
		return all
	}
	message := func(bytes int) *Message { return &Message{payloadBytes: uint32(bytes)} }
	for _, c := range []struct {
		messages []*Message
		want     int
	}{
		{[]*Message{message(1)}, 1},
		{[]*Message{message(responseBytesMax + 1), message(0)}, 1},
		{[]*Message{message(responseBytesMax), message(0), message(1)}, 2},
		{slices.Repeat([]*Message{message(1)}, ResponseMessagesMax), ResponseMessagesMax},
		{slices.Repeat([]*Message{message(1)}, ResponseMessagesMax+1), ResponseMessagesMax},
	} {
		if got := FirstOf(c.messages); len(got) != c.want {
			t.Errorf("%d of %v: %v", len(got), sizes(c.messages), sizes(got))
		}
	}
	h, _ := newPolls(t, 1)
	h.poll("c", 1)
	var want []byte
	for i := range ResponseMessagesMax + 5 {
		payload := fmt.Append(nil, i%10)
		h.publish("c", payload)
		if i < ResponseMessagesMax {
			want = append(append(want, 'r'), payload...)
		}
	}
	h.settle()
	h.wantStream(1, string(want))
	h.checkEmpty()
}

// What the socket does not take is the owner's, whole and unshared in time: the
// registry is done with it.
func TestResponsesThatDoNotFit(t *testing.T) {
	h, _ := newPolls(t, 3)
	h.peers[1].room, h.peers[2].room, h.peers[3].room = 0, 4, 7
	h.poll("c", 1, 2, 3)
	payload := bytes.Repeat([]byte("x"), 9)
	h.publish("c", payload)
	h.turn()
	h.checkEmpty()
	for fd := range uint32(3) {
		h.peers[fd+1].room = plenty
	}
	h.settle()
	for fd := range uint32(3) {
		h.wantStream(fd+1, "r"+string(payload))
	}
}

// A sweep over polls allocates nothing per poll.
func TestServingPollsAllocatesNothing(t *testing.T) {
	const polls = 200
	h, _ := newPolls(t, polls)
	for fd := range h.peers {
		h.peers[fd].discard = true
	}
	served := func() {
		h.poll("c", span(1, polls)...)
		h.registry.Letter(h.message("c", []byte("x"), nil))
		for h.registry.Work() {
		}
	}
	served()
	if allocs := testing.AllocsPerRun(20, served); allocs > 20 {
		t.Errorf("%.0f allocations for %d polls", allocs, polls)
	}
	if n := h.stats.Members.Load(); n != 0 {
		t.Errorf("%d members are left", n)
	}
}
