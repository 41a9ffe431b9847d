package conn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"c10m/poller/pollertest"

	"github.com/gobwas/ws"
)

// The clients of the worlds: what they do, and how they check what they get.

type worldClient struct {
	peer     *pollertest.Peer
	number   int
	toSend   []byte
	stream   []byte
	upgraded bool
	closed   bool // by itself, or it saw the close
	subs     [worldChannels]worldSub
	asked    [worldChannels][]worldAnswer // that are to come, in the order of each channel
	pongs    int                          // of PING, that are to come
	said     [worldChannels]uint64
	heard    [worldChannels]uint64 // the last of what it said, at the bus
	heardOf  [worldChannels]uint64 // how many the bus has
	refused  uint64                // of what it said, by overload
	lost     uint64                // of what it said, at the bus
	toldLost uint64
	pinged   uint64
	ponged   uint64
}

// A worldAnswer is one that is to come, and what the client knew when it asked for
// it: how many messages of the channel were published, and the last that it had if
// it named that one's position.
type worldAnswer struct {
	line      string
	published uint64
	since     uint64
	again     bool // it has, or has asked for, the channel
}

// A worldSub is what a client knows of one of its channels.
type worldSub struct {
	wanted bool   // after all that it asked for
	on     bool   // by the answers that it has
	after  uint64 // it gets what was published after this one, or later
	next   uint64 // the next message, 0 before the first
	gap    bool   // its position was gone

	last   uint64 // message, over all subscriptions, and its id
	lastID string
}

// act is one random act of a client.
func (w *twoWayWorld) act(c *worldClient) {
	speaks := c.upgraded && !c.closed
	at := w.random.IntN(worldChannels)
	switch w.random.IntN(12) {
	case 0, 1:
		if !speaks {
			break
		}
		sub := &c.subs[at]
		switch {
		case w.random.IntN(3) > 0 && !sub.wanted:
			say, answer := "SUB "+worldEscaped(at), worldAnswer{line: "OK SUB " + worldEscaped(at), published: w.published[at]}
			if w.history && sub.last != 0 && w.random.IntN(2) == 0 {
				say, answer.since = say+" "+sub.lastID, sub.last
			}
			c.say(say)
			c.asked[at] = append(c.asked[at], answer)
			sub.wanted = true
		case sub.wanted && w.random.IntN(3) == 0:
			c.say("SUB " + worldEscaped(at))
			c.asked[at] = append(c.asked[at], worldAnswer{line: "OK SUB " + worldEscaped(at), again: true})
		case sub.wanted:
			c.say("UNSUB " + worldEscaped(at))
			c.asked[at] = append(c.asked[at], worldAnswer{line: "OK UNSUB " + worldEscaped(at)})
			sub.wanted = false
		default:
			c.say("UNSUB " + worldEscaped(at))
			c.asked[at] = append(c.asked[at], worldAnswer{line: "ERR UNSUB " + worldEscaped(at) + " not_subscribed"})
		}
	case 2:
		if speaks {
			c.pinged++
			payload := binary.BigEndian.AppendUint64(nil, c.pinged)
			c.toSend = append(c.toSend, ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame(payload)))...)
		}
	case 3:
		if speaks {
			c.say("PING")
			c.pongs++
		}
	case 4:
		switch how := w.random.IntN(60); {
		case how == 0 && speaks:
			body := ws.NewCloseFrameBody(ws.StatusGoingAway, "bye")
			c.toSend = append(c.toSend, ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(body)))...)
			c.closed = true
		case how == 1:
			c.closed = true
			c.peer.Reset()
		case how == 2:
			c.closed = true
			c.peer.Close()
		}
	case 5, 6, 7:
		n := len(c.toSend)
		if w.random.IntN(2) == 0 {
			n = w.random.IntN(n + 1)
		}
		c.peer.Write(c.toSend[:n])
		c.toSend = c.toSend[n:]
	case 8, 9:
		w.read(c, w.random.IntN(6000))
	case 10, 11:
		if speaks && len(c.toSend) < 4000 {
			c.said[at]++
			payload := binary.BigEndian.AppendUint64(nil, uint64(c.number))
			payload = binary.BigEndian.AppendUint64(payload, c.said[at])
			c.say("PUB " + worldEscaped(at) + "\n" + string(payload) + strings.Repeat("y", w.random.IntN(600)))
		}
	}
}

// read takes bytes from the server and checks every frame in them.
func (w *twoWayWorld) read(c *worldClient, n int) {
	c.stream = append(c.stream, c.peer.Read(n)...)
	if !c.upgraded {
		end := requestEnd(c.stream, 0)
		if end == 0 {
			return
		}
		if !bytes.HasPrefix(c.stream, []byte("HTTP/1.1 101 ")) {
			c.closed, c.stream = true, nil
			return
		}
		c.upgraded, c.stream = true, c.stream[end:]
	}
	for {
		f, rest, isWhole, err := cutFrame(c.stream)
		if err != nil {
			w.failf("client %d cannot read a header: %v", c.number, err)
		}
		if !isWhole {
			return
		}
		h, payload := f.Header, f.Payload
		if h.Masked || h.Rsv != 0 || !h.Fin {
			w.failf("client %d got frame %+v", c.number, h)
		}
		c.stream = rest
		switch h.OpCode {
		case ws.OpPing:
		case ws.OpPong:
			number := binary.BigEndian.Uint64(payload)
			if number <= c.ponged || number > c.pinged {
				w.failf("pong %d after pong %d and %d pings", number, c.ponged, c.pinged)
			}
			c.ponged = number
		case ws.OpClose:
			c.closed = true
			w.happened[fmt.Sprint("close ", binary.BigEndian.Uint16(append(payload, 0, 0)))]++
		default:
			w.understand(c, payload)
		}
	}
}

// understand checks an answer or a delivery.
func (w *twoWayWorld) understand(c *worldClient, message []byte) {
	line, rest, _ := bytes.Cut(message, []byte("\n"))
	words := strings.Split(string(line), " ")
	switch {
	case words[0] == "MSG":
		at, err := strconv.Atoi(words[1][1:2])
		if err != nil || words[1] != worldEscaped(at) {
			w.failf("client %d got %q", c.number, line)
		}
		w.delivered(c, at, binary.BigEndian.Uint64(rest))
		c.subs[at].lastID = words[2]
		w.happened["deliveries"]++
	case len(words) == 4 && words[1] == "PUB" && words[3] == "overload":
		c.refused++
		w.happened["overload"]++
	case len(words) == 4 && words[1] == "PUB" && words[3] == "bus_down":
		c.toldLost++
		w.happened["bus_down"]++
	case words[0] == "PONG" && c.pongs > 0:
		c.pongs--
		w.happened["PONG"]++
	case words[0] == "GAP" && w.history:
		sub, asked := &c.subs[words[1][1]-'0'], c.asked[words[1][1]-'0']
		if sub.gap = true; len(asked) == 0 || asked[0].since == 0 || asked[0].since == asked[0].published {
			w.failf("client %d got %q, and asked %v", c.number, line, asked)
		}
		w.happened["GAP"]++
	default:
		w.answered(c, words, string(line))
	}
}

// answered checks an answer to SUB or UNSUB.
func (w *twoWayWorld) answered(c *worldClient, words []string, line string) {
	if len(words) < 3 || len(words[2]) < 2 {
		w.failf("client %d got %q", c.number, line)
	}
	at := words[2][1] - '0'
	asked := c.asked[at]
	if w.history && strings.HasPrefix(line, "OK SUB ") {
		line = strings.Join(words[:3], " ") // without a position
	}
	if len(asked) == 0 || asked[0].line != line {
		w.failf("client %d got %q, and expected %v", c.number, line, asked)
	}
	sub := &c.subs[at]
	switch {
	case asked[0].again:
		if !sub.on {
			w.failf("client %d got %q before it was subscribed", c.number, line)
		}
		w.happened["again"]++
	case words[0] == "OK":
		sub.on, sub.after, sub.next = words[1] == "SUB", asked[0].published, 0
		if asked[0].since != 0 && !sub.gap {
			sub.after, sub.next = asked[0].since, asked[0].since+1
			w.happened["continued"]++
		}
		sub.gap = false
	}
	c.asked[at] = asked[1:]
	w.happened[words[0]]++
}

func (w *twoWayWorld) delivered(c *worldClient, at int, number uint64) {
	sub := &c.subs[at]
	switch {
	case !sub.on:
		w.failf("client %d got message %d of channel %d, of which it is no subscriber", c.number, number, at)
	case number <= sub.after:
		w.failf("client %d got message %d of channel %d, and asked after %d were published", c.number, number, at, sub.after)
	case sub.next != 0 && number != sub.next && !(w.skip && number > sub.next):
		w.failf("client %d got message %d of channel %d where %d is due", c.number, number, at, sub.next)
	}
	sub.next, sub.last = number+1, number
}
