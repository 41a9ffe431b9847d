package faults

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
)

// The ways out and in of a told world. A client that comes back continues at its
// position, where it has one; one that has none is told of a gap by the end of its
// connection.

func (w *toldWorld) listen() {
	for _, channel := range w.channels {
		for way, once := range map[string]func(e *toldEar) func(){"WebSocket": w.plainWay, "events": w.eventsWay, "polls": w.pollsWay} {
			w.goes(once(w.ear(way, channel)))
		}
	}
	w.twoWay()
	for _, transport := range []string{"websocket", "sse", "poll"} {
		w.moduleWay(transport)
	}
}

func (w *toldWorld) address() string { return fmt.Sprintf("127.0.0.1:%d", w.port) }

func (w *toldWorld) get(url string, header ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(w.over, "GET", "http://"+w.address()+"/"+url, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return http.DefaultClient.Do(request)
}

// eventsWay is what an EventSource does: it comes back with the last id.
func (w *toldWorld) eventsWay(e *toldEar) func() {
	lastID := ""
	return func() {
		header := []string{"Accept", "text/event-stream"}
		if lastID != "" {
			header = append(header, "Last-Event-ID", lastID)
		}
		response, err := w.get(e.channel+"?since=first", header...)
		if err != nil {
			return
		}
		defer response.Body.Close()
		id, event, data := "", "", ""
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				id = value
			case "event":
				event = value
			case "data":
				data = value
			case "":
				if id != "" {
					lastID = id
				}
				switch {
				case event == "gap" || event == "close" && strings.HasPrefix(data, strconv.Itoa(missedMessages)):
					e.gap()
				case event == "" && data != "":
					e.message(data)
				}
				id, event, data = "", "", ""
			}
		}
	}
}

func (w *toldWorld) pollsWay(e *toldEar) func() {
	position := "first&wait=0"
	return func() {
		response, err := w.get(e.channel + "?wait=20&since=" + position)
		if position == "first&wait=0" {
			response, err = w.get(e.channel + "?wait=0&since=first")
		}
		if err != nil {
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		next := response.Header.Get("C10m-Position")
		switch {
		case err != nil || next == "":
			return
		case response.StatusCode == http.StatusGone:
			e.gap()
		case response.StatusCode == http.StatusOK:
			for _, entry := range strings.Split(response.Header.Get("C10m-Messages"), ",") {
				_, length, _ := strings.Cut(entry, ":")
				n, _ := strconv.Atoi(length)
				e.message(string(body[:n]))
				body = body[n:]
			}
		}
		position = next
	}
}

// twoWay is a c10m.v1 client of all channels.
func (w *toldWorld) twoWay() {
	ears, positions := make(map[string]*toldEar), make(map[string]string)
	for _, channel := range w.channels {
		ears[channel], positions[channel] = w.ear("c10m.v1", channel), "first"
	}
	w.goes(func() {
		s, err := w.dial("", "c10m.v1")
		if err != nil {
			return
		}
		defer s.Close()
		for channel, position := range positions {
			if s.say(ws.OpText, []byte("SUB "+channel+" "+position)) != nil {
				return
			}
		}
		for {
			frame, err := s.next()
			if code, isEnd := err.(closedWith); isEnd && w.over.Err() == nil {
				// It has positions: what it missed by another end, it is told when it is back.
				if w.ended("c10m.v1", ws.StatusCode(code)); code == missedMessages {
					for _, e := range ears {
						e.gap()
					}
				}
			}
			if err != nil {
				return
			}
			line, payload, _ := strings.Cut(string(frame), "\n")
			switch words := strings.Fields(line); words[0] {
			case "MSG":
				ears[words[1]].message(payload)
				positions[words[1]] = words[2]
			case "GAP":
				ears[words[1]].gap()
				positions[words[1]] = words[2]
			case "OK":
				positions[words[2]] = words[3]
			}
		}
	})
}

// moduleWay is c10m.js in Node, with one transport.
func (w *toldWorld) moduleWay(transport string) {
	ears := make(map[string]*toldEar)
	for _, channel := range w.channels {
		ears[channel] = w.ear("c10m.js over "+transport, channel)
	}
	node := exec.CommandContext(w.over, servertest.Find(w.t, "node"), "testdata/told.mjs", "http://"+w.address(), transport, strings.Join(w.channels, ","))
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	if err == nil {
		err = node.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.runs.Go(func() {
		defer node.Wait()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			switch words := strings.Fields(lines.Text()); {
			case len(words) == 3 && words[0] == "message":
				ears[words[1]].message(words[2])
			case len(words) == 2 && words[0] == "gap":
				ears[words[1]].gap()
			default:
				w.t.Errorf("c10m.js says %q", lines.Text())
			}
		}
	})
}

// publish begins to publish to each channel in its way.
func (w *toldWorld) publish(atReplica bool) {
	for i := range w.redis {
		client := w.redis[i].newClient()
		w.goes(func() {
			w.mu.Lock()
			isHere := w.at == i
			w.mu.Unlock()
			if !isHere {
				return
			}
			n := w.number("redis")
			if client.Publish(w.over, "redis", n).Err() == nil {
				w.told("redis", n, published)
			}
		})
	}
	if atReplica { // where what clients publish is refused
		for _, channel := range []string{"post", "pub", "own"} {
			client := w.redis[1].newClient()
			w.goes(func() {
				n := w.number(channel)
				if client.Publish(w.over, channel, n).Err() == nil {
					w.told(channel, n, published)
				}
			})
		}
		return
	}
	w.goes(w.post)
	w.goes(w.pub)
	w.goes(w.own)
}

func (w *toldWorld) post() {
	n := w.number("post")
	w.postTo("http://"+w.address()+"/post", "post", n)
}

// postTo publishes with POST, on a public port or at the admin address, and returns the
// answer to what was published.
func (w *toldWorld) postTo(url, channel string, n int) (answer []byte) {
	response, err := http.Post(url, "text/plain", strings.NewReader(strconv.Itoa(n)))
	if err != nil {
		w.unanswered(channel, n)
		return nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		w.unanswered(channel, n)
	case response.StatusCode == http.StatusOK:
		w.told(channel, n, published)
		return body
	case strings.Contains(string(body), "was not published"), strings.Contains(string(body), "The server restarts."):
		w.told(channel, n, unpublished)
	case !strings.Contains(string(body), "may have been published"):
		w.failf("POST was answered with %s: %s", response.Status, body)
	}
	return nil
}

// pub publishes with c10m.v1 and a key, which is answered, until its connection ends.
func (w *toldWorld) pub() {
	s, err := w.dial("", "c10m.v1")
	if err != nil {
		return
	}
	defer s.Close()
	for w.over.Err() == nil {
		n := w.number("pub")
		err := s.say(ws.OpText, fmt.Appendf(nil, "PUB pub key-%d\n%d", n, n))
		frame, ended := s.next()
		if err != nil || ended != nil {
			w.unanswered("pub", n)
			return
		}
		switch answer := string(frame); {
		case strings.HasPrefix(answer, "OK PUB "):
			w.told("pub", n, published)
		case strings.Contains(answer, "was not published"):
			w.told("pub", n, unpublished)
		case !strings.Contains(answer, "may have been published"):
			w.failf("PUB was answered with %q", answer)
		}
		w.sleep(20)
	}
}

// own says messages on a plain WebSocket and waits for each to come back: what did not
// come back when the connection is closed may have been published or not, and what did
// was.
func (w *toldWorld) own() {
	s, err := w.dial("own")
	if err != nil {
		return
	}
	defer s.Close()
	for w.over.Err() == nil {
		n := w.number("own")
		ended := s.say(ws.OpText, []byte(strconv.Itoa(n)))
		for payload := []byte(nil); ended == nil && string(payload) != strconv.Itoa(n); {
			payload, ended = s.next()
		}
		if ended != nil {
			w.unanswered("own", n)
			return
		}
		w.told("own", n, published)
		w.sleep(20)
	}
}
