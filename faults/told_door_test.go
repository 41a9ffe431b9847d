package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"

	"c10m/internal/patience"
)

// Publishers and subscribers at the RESP door of a server with the embedded bus. What a
// publisher is told there is true: an integer says that every loop has the message, an
// error or a cut that it may have been published or not. What was not said whole was not
// published, and of a transaction all or nothing was.

// A door is a connection of one of them.
type door struct {
	world   *toldWorld
	channel string
	conn    net.Conn
	in      *bufio.Reader
}

func (w *toldWorld) openDoor(channel string) (*door, error) {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", w.bus))
	if err != nil {
		return nil, err
	}
	c.SetDeadline(patience.Deadline())
	context.AfterFunc(w.over, func() { c.Close() })
	return &door{w, channel, c, bufio.NewReader(c)}, nil
}

// atTheDoor has somebody publish until the world ends; say reports whether its connection
// is of use any longer.
func (w *toldWorld) atTheDoor(channel string, say func(d *door) bool) {
	w.goes(func() {
		d, err := w.openDoor(channel)
		if err != nil {
			return
		}
		defer d.conn.Close()
		for w.over.Err() == nil && say(d) {
			w.sleep(20)
		}
	})
}

// A batch is commands and where each of those that publish ends.
type batch struct {
	text  []byte
	first int // number
	ends  []int
}

func (b *batch) add(words ...string) {
	b.text = fmt.Appendf(b.text, "*%d\r\n", len(words))
	for _, word := range words {
		b.text = fmt.Appendf(b.text, "$%d\r\n%s\r\n", len(word), word)
	}
}

// publish adds the next few numbers.
func (d *door) publish(b *batch, most int) {
	for range 1 + rand.IntN(most) {
		n := d.world.number(d.channel)
		if b.ends == nil {
			b.first = n
		}
		b.add("PUBLISH", d.channel, strconv.Itoa(n))
		b.ends = append(b.ends, len(b.text))
	}
}

// send says a batch in pieces.
func (d *door) send(text []byte) {
	for len(text) > 0 {
		n := 1 + rand.IntN(len(text))
		if _, err := d.conn.Write(text[:n]); err != nil {
			return // what comes back says the same
		}
		text = text[n:]
	}
}

// cut says a part of a batch and is gone, with a reset or without. It returns how much of
// it was said.
func (d *door) cut(text []byte) (said int) {
	said = 1 + rand.IntN(len(text))
	if rand.IntN(2) == 0 {
		said = len(text)
	}
	d.conn.Write(text[:said])
	if rand.IntN(2) == 0 {
		d.conn.(*net.TCPConn).SetLinger(0)
	}
	d.conn.Close()
	return said
}

// answered notes a reply to PUBLISH, and reports whether there was one.
func (d *door) answered(n int, reply any, err error) bool {
	reached, isNumber := reply.(int)
	if err != nil || !isNumber {
		d.world.unanswered(d.channel, n)
		return err == nil
	}
	d.world.told(d.channel, n, published)
	d.world.reach(d.channel, n, reached)
	return true
}

func (w *toldWorld) reach(channel string, n, reached int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reached[toldKey(channel, n)] = reached
}

// pipelined says a few PUBLISHes at once, or one.
func pipelined(most int) func(d *door) bool {
	return func(d *door) bool {
		var b batch
		d.publish(&b, most)
		if rand.IntN(10) == 0 {
			said := d.cut(b.text)
			for i, end := range b.ends {
				if end > said {
					d.world.told(d.channel, b.first+i, unpublished)
				} else {
					d.world.unanswered(d.channel, b.first+i)
				}
			}
			return false
		}
		d.send(b.text)
		isOpen := true
		for i := range b.ends {
			reply, err := readReply(d.in)
			isOpen = d.answered(b.first+i, reply, err) && isOpen
		}
		return isOpen
	}
}

// transaction puts them between MULTI and EXEC. Some are broken, discarded or cut off.
func transaction(d *door) bool {
	const broken, discarded, cutOff, fates = 0, 1, 2, 16
	var b batch
	what := rand.IntN(fates)
	b.add("MULTI")
	d.publish(&b, 5)
	last := "EXEC"
	if what == broken {
		b.add("PUBLISH", "too few words")
	}
	if what == discarded {
		last = "DISCARD"
	}
	b.add(last)
	each := func(do func(i, n int)) {
		for i := range b.ends {
			do(i, b.first+i)
		}
	}
	none := func(_, n int) { d.world.told(d.channel, n, unpublished) }
	maybe := func(_, n int) { d.world.unanswered(d.channel, n) }
	if what == broken || what == discarded {
		each(none)
	} else {
		d.world.transact(d.channel, b.first, b.first+len(b.ends)-1)
	}
	if what == cutOff {
		if d.cut(b.text) < len(b.text) {
			each(none) // without its EXEC
		} else {
			each(maybe)
		}
		return false
	}
	d.send(b.text)
	var reply any
	var err error
	for commands := strings.Count(string(b.text), "*"); commands > 0 && err == nil; commands-- {
		reply, err = readReply(d.in)
	}
	replies, isRun := reply.([]any)
	switch {
	case err != nil && what != broken && what != discarded:
		each(maybe)
	case err == nil && isRun != (what != broken && what != discarded) || isRun && len(replies) != len(b.ends):
		d.world.failf("a transaction of %d messages, broken %v, discarded %v, was answered with %v", len(b.ends), what == broken, what == discarded, reply)
	case isRun:
		each(func(i, n int) { d.answered(n, replies[i], nil) })
	}
	return err == nil
}

func (w *toldWorld) transact(channel string, first, last int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := first; n <= last; n++ {
		w.transactions[toldKey(channel, n)] = [2]int{first, last}
	}
}

// An errorReply is a reply that is an error.
type errorReply string

var errNoReply = errors.New("this is no reply of RESP2")

// readReply reads an int, a string, an errorReply, or a list of them.
func readReply(in *bufio.Reader) (any, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, errNoReply
	}
	text := line[1 : len(line)-2]
	switch line[0] {
	case '+':
		return text, nil
	case '-':
		return errorReply(text), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 && line[0] != ':' {
		return nil, errNoReply
	}
	switch line[0] {
	case ':':
		return n, nil
	case '$':
		bulk := make([]byte, n+2)
		_, err := io.ReadFull(in, bulk)
		return string(bulk[:n]), err
	case '*':
		list := make([]any, n)
		for i := range list {
			if list[i], err = readReply(in); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return nil, errNoReply
}

// respWay is a subscriber at the door, as another server is. It knows no close codes: the
// end of its connection is that of its server.
func (w *toldWorld) respWay(e *toldEar) func() {
	e.isMember = true
	return func() {
		d, err := w.openDoor(e.channel)
		if err != nil {
			return
		}
		defer d.conn.Close()
		var b batch
		b.add("SUBSCRIBE", e.channel)
		d.send(b.text)
		if _, err := readReply(d.in); err != nil {
			return
		}
		e.note(noteFrom, w.begun(e.channel))
		for {
			reply, err := readReply(d.in)
			if err != nil && w.over.Err() == nil {
				w.mu.Lock()
				if w.causes&(byDrain|byCut) == 0 {
					w.complain("%s/%s: %v, and nothing that is played ends it", e.way, e.channel, err)
				}
				w.mu.Unlock()
				e.gap()
			}
			if err != nil {
				return
			}
			if words, isList := reply.([]any); !isList || len(words) != 3 || words[0] != "message" {
				w.failf("a subscriber got %v", reply)
			} else {
				e.message(fmt.Sprint(words[2]))
			}
		}
	}
}

// admin publishes over HTTP at the admin address.
func (w *toldWorld) admin() {
	n := w.number("admin")
	answer := w.postTo(fmt.Sprintf("http://127.0.0.1:%d/publish/admin", w.adminPort), "admin", n)
	if answer == nil {
		return
	}
	var told struct{ Connections, Subscribers int }
	if err := json.Unmarshal(answer, &told); err != nil {
		w.failf("POST at the admin address was answered with %q: %v", answer, err)
	}
	w.reach("admin", n, told.Connections+told.Subscribers)
}
