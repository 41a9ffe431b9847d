package conn

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/conn/wire/wiretest"
)

// Who was there in an interruption is told of it before he gets what was published
// after it, on every way out, though the walk that tells all is an hour long; who comes
// after it is left alone; and who had his position before it is told when he comes.
func TestInterruptionIsToldBeforeTheNextMessage(t *testing.T) {
	s := startServer(t, 1, withHistory(10))
	socket, twoWay, stream := s.upgrade(t, "/news"), s.upgradeTwoWay(t, "/", text("SUB news"), text("SUB other")), s.events(t, "/news")
	stream.block() // its position
	twoWay.command()
	twoWay.command()
	poll, late := s.connect(t), s.connect(t)
	late.poll("/news?wait=0")
	response, _ := late.answered(204)
	before := response.Header.Get("C10m-Position")
	s.publish(t, "news", "before")
	poll.poll("/news?wait=60")
	s.waitForPolls(t, 1)
	s.hub.Interrupted(time.Hour)
	s.publish(t, "news", "after")

	socket.expect(message("before"), closing(reasons.CodeMissedMessages))
	twoWay.expectCommands("MSG news #\nbefore", fmt.Sprint("closed with ", reasons.CodeMissedMessages))
	stream.expectPayloads("before")
	if got := stream.rest(); got != "event: close\ndata: 4001 you may have missed messages\n\n" {
		t.Errorf("events: got %q", got)
	}
	response, _ = poll.answered(410)
	position := response.Header.Get("C10m-Position")
	late.poll("/news?wait=60&since=" + before)
	late.answered(410)

	// On the same connection, and during the walk.
	poll.poll("/news?wait=60&since=" + position)
	s.waitForPolls(t, 1)
	late.poll("/news?wait=60")
	s.waitForPolls(t, 2)
	newcomer := s.upgrade(t, "/news")
	s.publish(t, "news", "later")
	poll.expectPolled("later")
	late.expectPolled("later")
	newcomer.expect(message("later"))
	for _, c := range []*rawClient{socket, twoWay, stream.rawClient, poll, late, newcomer} {
		c.Close()
	}
	s.checkNothingLeft(t)
}

// A question of where a channel stands that an interruption overtakes is no answer to
// whether something was missed.
func TestInterruptionOvertakesQuestions(t *testing.T) {
	held := make(chan func(), 8)
	config := testConfig()
	config.History = channel.NewHistory(channel.HistoryConfig{Messages: 10, Start: func(work func()) { held <- work }})
	s := startServer(t, 1, config)
	poll, stream := s.connect(t), s.events(t, "/news")
	first := <-held
	poll.poll("/news?wait=0")
	s.waitForPolls(t, 1)
	s.hub.Interrupted(time.Hour)
	s.begun()
	first()
	poll.answered(410)
	s.publish(t, "news", "after")
	if got := stream.rest(); got != "event: close\ndata: 4001 you may have missed messages\n\n" {
		t.Errorf("events: got %q", got)
	}
	poll.Close()
	stream.Close()
	s.checkNothingLeft(t)
}

// A message that is due to many who are untold is no stampede: it tells some out of
// turn, and comes to none.
func TestInterruptionMakesNoStampede(t *testing.T) {
	kernel := &testKernel{}
	config := testConfig()
	config.PingInterval = 0
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Now())
	const dueMax, duePerSecondMax = 256, 1000 // of conn/walks
	clients := s.members(t, dueMax+100)
	s.hub.Interrupted(time.Hour)
	for range 3 {
		s.publish(t, "news", "after")
		s.begun()
	}
	if n := s.closes(reasons.MissedMessages); n != dueMax {
		t.Errorf("%d of %d are told out of turn, want %d", n, len(clients), dueMax)
	}
	const due = 20
	s.step(kernel, due*time.Second/duePerSecondMax)
	s.publish(t, "news", "after")
	s.begun()
	if n := s.closes(reasons.MissedMessages); n != dueMax+due {
		t.Errorf("%d are told later, want %d", n, dueMax+due)
	}
	for range 10 {
		s.step(kernel, time.Hour/5)
	}
	for _, c := range clients {
		if got := c.frames(); !slices.Equal(got, []wireFrame{closing(reasons.CodeMissedMessages)}) {
			t.Fatalf("got %v", got)
		}
		c.Close()
	}
}

// Who begins with what is kept has a position from the first answer on, also if that
// is nothing: when he comes back, he continues, or is told of the gap.
func TestFirstHasAPosition(t *testing.T) {
	for _, kept := range []int{0, 2} {
		s := startServer(t, 1, withHistory(10))
		var before []string
		for i := range kept {
			before = append(before, fmt.Sprint("kept ", i))
			s.publish(t, "news", before[i])
		}
		stream := s.events(t, "/news?since=first")
		_, ofStream, _ := wiretest.ReadEvents(stream.block())
		stream.expectPayloads(before...)
		twoWay := s.upgradeTwoWay(t, "/", text("SUB news first"))
		words := strings.Split(twoWay.command(), " ")
		if ofStream == "" || len(words) != 4 || words[3] != ofStream {
			t.Fatalf("%d kept: the stream is at %q, and the answer to SUB is %q", kept, ofStream, words)
		}
		for _, payload := range before {
			twoWay.expectCommands("MSG news #\n" + payload)
		}
		// From there everything comes again.
		s.publish(t, "news", "more")
		all := append(before, "more")
		s.events(t, "/news", "Last-Event-ID: "+ofStream+"\r\n").expectPayloads(all...)
		again := s.upgradeTwoWay(t, "/", text("SUB news "+ofStream))
		again.expectCommands("OK SUB news " + ofStream)
		for _, payload := range all {
			again.expectCommands("MSG news #\n" + payload)
		}
		// And when it is not kept any more, a gap.
		for i := range 25 {
			s.publish(t, "news", fmt.Sprint(i))
		}
		if got := s.events(t, "/news", "Last-Event-ID: "+ofStream+"\r\n").event(); got.Type != "gap" {
			t.Errorf("got %q", got)
		}
		late := s.upgradeTwoWay(t, "/", text("SUB news "+ofStream))
		if got := late.command(); !strings.HasPrefix(got, "GAP news ") || !strings.HasSuffix(got, " 10") {
			t.Errorf("got %q", got)
		}
		poll := s.connect(t)
		poll.poll("/quiet?wait=0&since=first")
		response, _ := poll.answered(204)
		for i := range 25 {
			s.publish(t, "quiet", fmt.Sprint(i))
		}
		poll.poll("/quiet?wait=0&since=" + response.Header.Get("C10m-Position"))
		poll.answered(410)
	}
}

// Who is told that his position is gone is told as well whether the server keeps
// anything: if not, he need not try again.
func TestGapSaysWhetherThereIsAHistory(t *testing.T) {
	for _, kept := range []int{0, 10} {
		s := startServer(t, 1, withHistory(kept))
		s.publish(t, "news", "one")
		poll, stream, twoWay := s.connect(t), s.connect(t), s.upgradeTwoWay(t, "/", text("SUB news other-1"))
		poll.poll("/news?wait=60&since=other-1")
		r, _ := poll.answered(410)
		stream.send(eventsRequest("/news?since=other-1"))
		head := stream.response()
		e := &eventsClient{rawClient: stream}
		e.block()
		gap := e.event()
		want := fmt.Sprint(kept)
		if got := twoWay.command(); !strings.HasPrefix(got, "GAP news ") || !strings.HasSuffix(got, " "+want) ||
			r.Header.Get("C10m-History") != want || head.Header.Get("C10m-History") != want ||
			strings.Contains(gap.Data, wire.NoHistoryText) != (kept == 0) {
			t.Errorf("with %d kept: %q, %v, %v, %q", kept, got, r.Header, head.Header, gap)
		}
		if !strings.Contains(r.Header.Get("Access-Control-Expose-Headers"), "C10m-History") {
			t.Errorf("pages may not read it: %v", r.Header)
		}
	}
}
