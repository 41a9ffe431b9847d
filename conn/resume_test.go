package conn

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/poller"
	"c10m/poller/epoll"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

func historyConfig(messages int) Config {
	config := testConfig()
	config.History = channel.NewHistory(channel.HistoryConfig{Messages: messages})
	return config
}

func wantMessages(t *testing.T, c net.Conn, want ...string) {
	t.Helper()
	for _, w := range want {
		if got, _, err := wsutil.ReadServerData(c); err != nil || string(got) != w {
			t.Fatalf("got %q %v, want %q", got, err, w)
		}
	}
}

func TestResumeFromAPosition(t *testing.T) {
	s := startServer(t, 2, historyConfig(10))
	first := s.publishID(t, "news", "1")
	s.publishID(t, "news", "2")
	last := s.publishID(t, "news", "3")
	back := s.dial(t, "news?since="+first)
	upToDate := s.dial(t, "news?x=y&since="+last)
	all := s.dial(t, "news?since=first")
	other := s.dial(t, "other?since="+first)
	wantMessages(t, back, "2", "3")
	wantMessages(t, all, "1", "2", "3")
	s.publish(t, "news", "4")
	s.publish(t, "other", "o")
	wantMessages(t, back, "4")
	wantMessages(t, upToDate, "4")
	wantMessages(t, all, "4")
	wantMessages(t, other, "o")
}

// Who names a position that cannot be continued is told, and gets no part.
func TestResumeFromNowhere(t *testing.T) {
	s := startServer(t, 1, historyConfig(2))
	gone := s.publishID(t, "news", "1")
	for i := range 5 {
		s.publish(t, "news", fmt.Sprint(i))
	}
	for _, since := range []string{gone, "otherlife-1", ""} {
		c := s.dial(t, "news?since="+since)
		if since == "" { // is none
			s.publish(t, "news", "live")
			wantMessages(t, c, "live")
			continue
		}
		_, _, err := wsutil.ReadServerData(c)
		closed, ok := err.(wsutil.ClosedError)
		if !ok || closed.Code != ws.StatusCode(reasons.CodeMissedMessages) {
			t.Errorf("since %q: %v, want close %d", since, err, reasons.CodeMissedMessages)
		}
	}
	if got := s.closes(reasons.PositionGone); got != 2 {
		t.Errorf("%d connections ended for their position, want 2", got)
	}
}

// Clients leave and come back while messages are published, each with the position
// of the last message it saw: all together get every message once, in order.
func TestResumeMissesNothing(t *testing.T) {
	const messages, clients = 3000, 20
	s := startServer(t, 2, historyConfig(messages))
	var ids sync.Map // by number
	start := s.publishID(t, "news", "0")
	ids.Store(0, start)
	var publisher, readers sync.WaitGroup
	published := make(chan int, messages)
	publisher.Go(func() {
		for i := 1; i <= messages; i++ {
			receipt, err := s.hub.Publish([]byte("news"), []byte(strconv.Itoa(i)))
			if err != nil {
				t.Error(err)
			}
			ids.Store(i, receipt.ID())
			if i%10 == 0 {
				time.Sleep(200 * time.Microsecond)
			}
		}
		close(published)
	})
	for client := range clients {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(client)))
			last := 0
			for last < messages {
				var id any
				for ok := false; !ok; id, ok = ids.Load(last) {
				}
				c := s.dial(t, "news?since="+id.(string))
				for range 1 + random.IntN(400) {
					payload, _, err := wsutil.ReadServerData(c)
					if err != nil {
						t.Errorf("client %d after %d: %v", client, last, err)
						return
					}
					if got, _ := strconv.Atoi(string(payload)); got != last+1 {
						t.Errorf("client %d got %s after %d", client, payload, last)
						return
					}
					if last++; last == messages {
						break
					}
				}
				c.Close()
			}
		})
	}
	publisher.Wait()
	readers.Wait()
}

// A client that comes back and does not read is bounded by what it is in the
// middle of, counted once for all, and gets its backlog whole when it reads.
func TestResumeOfASlowReader(t *testing.T) {
	config := historyConfig(100)
	s := startServer(t, 1, config)
	payload := make([]byte, 200_000)
	for i := range payload {
		payload[i] = 'a'
	}
	for i := range 60 {
		copy(payload, fmt.Sprintf("%03d", i))
		s.publish(t, "news", string(payload))
	}
	c := s.dial(t, "news?since=first")
	waitFor(t, "the backlog to fill the socket", func() bool { return s.servers[0].Stats().Pinned.Load() > 0 })
	s.publish(t, "news", "live")
	for i := range 60 {
		got, _, err := wsutil.ReadServerData(c)
		if err != nil || len(got) != len(payload) || string(got[:3]) != fmt.Sprintf("%03d", i) {
			t.Fatalf("message %d: %d bytes, %v", i, len(got), err)
		}
	}
	wantMessages(t, c, "live")
	if got := s.servers[0].Stats().Pinned.Load(); got != 0 {
		t.Errorf("%d bytes are pinned for nobody", got)
	}
	if got := s.servers[0].Stats().Resent.Load(); got != 60 {
		t.Errorf("%d messages came of the history, want 60", got)
	}
}

// A client that never takes its backlog is cut when a log would cut it.
func TestResumeOfADeadReader(t *testing.T) {
	config := historyConfig(100)
	config.Channel.LogAge = 500 * time.Millisecond
	s := startServer(t, 1, config)
	for range 60 {
		s.publish(t, "news", string(make([]byte, 200_000)))
	}
	s.dial(t, "news?since=first")
	waitFor(t, "the end of it", func() bool { return s.closes(reasons.SlowAge) == 1 })
	waitFor(t, "its memory", func() bool { return s.servers[0].Stats().Pinned.Load() == 0 })
}

// In whichever format somebody continues: who leaves in the middle leaves nothing.
func TestResumeOfWhoLeavesInTheMiddle(t *testing.T) {
	s := startServer(t, 1, historyConfig(100), smallSendBuffer)
	for range 60 {
		s.publish(t, "news", string(make([]byte, 20_000)))
	}
	for name, request := range map[string]string{
		"frames":  edit("/news", "/news?since=first"),
		"events":  "GET /news?since=first HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n",
		"named":   strings.Replace(edit("/news", "/news?since=first"), "\r\n\r\n", "\r\nSec-WebSocket-Protocol: c10m.v1\r\n\r\n", 1),
		"answers": "GET /news?since=first&wait=9 HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		kept := func() (bytes int) {
			s.onLoops(func(_ *poller.Loop, server *Server) { bytes = server.outbox.owedBytes + server.outbox.pins.Bytes() })
			return bytes
		}
		slow := s.dialSlow(t)
		slow.send([]byte(request))
		waitFor(t, "a part of "+name+" waits for room", func() bool { return kept() > 0 })
		slow.Close()
		waitFor(t, "the memory of "+name, func() bool { return kept() == 0 })
	}
	s.checkNothingLeft(t)
}

// Until the answer has come, nothing makes a member go on: here the history has no
// hub yet, and the client's socket fills and empties meanwhile.
func TestResumeWaitsForItsAnswer(t *testing.T) {
	history := channel.NewHistory(channel.HistoryConfig{Messages: 1})
	s := startServer(t, 1, testConfig(), func(_ *epoll.Config, shared *Shared) { shared.Config.History = history })
	stats := s.servers[0].Stats()
	c := s.dial(t, "news?since=first")
	s.publish(t, "news", "early")
	pings := bytes.Repeat(clientFrame(0x89, make([]byte, 100)), 100)
	waitFor(t, "a full socket", func() bool {
		_, err := c.Write(pings)
		return err != nil || stats.PongsDropped.Load() > 0
	})
	for pongs := uint64(0); ; pongs++ {
		if waiting := stats.Pongs.Load(); pongs == waiting {
			break // but for those that the server has not read yet
		}
		if h, err := ws.ReadHeader(c); err != nil || h.OpCode != ws.OpPong {
			t.Fatalf("%+v %v before the answer", h, err)
		} else if _, err := io.CopyN(io.Discard, c, h.Length); err != nil {
			t.Fatal(err)
		}
	}
	// The answer: nothing is kept, and what came before it is not the member's.
	hub := channel.NewHub([]channel.Poster{s.servers[0]}, channel.HubConfig{Now: poller.Now, History: history})
	waitFor(t, "the answer", func() bool { return hub.Stats().Resumed.Load() == 1 })
	s.publish(t, "news", "late")
	for {
		header, err := ws.ReadHeader(c)
		if err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(c, payload); err != nil {
			t.Fatal(err)
		}
		if header.OpCode == ws.OpPong {
			continue
		}
		if string(payload) != "late" {
			t.Errorf("the first message is %q", payload)
		}
		return
	}
}
