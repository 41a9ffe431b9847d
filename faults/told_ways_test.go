package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// The ways out and in of a told world. A client that comes back continues at its
// position, where it has one; one that has none is told of a gap by the end of its
// connection.

func (w *toldWorld) listen() {
	for _, channel := range toldChannels {
		for way, once := range map[string]func(e *toldEar) func(){"WebSocket": w.plainWay, "events": w.eventsWay, "polls": w.pollsWay} {
			w.goes(once(w.ear(way, channel)))
		}
	}
	w.twoWay()
	for _, transport := range []string{"websocket", "sse", "poll"} {
		w.moduleWay(transport)
	}
}

func (w *toldWorld) address() string { return fmt.Sprintf("127.0.0.1:%d", w.server.Port) }

// dial opens a WebSocket that ends with the world.
func (w *toldWorld) dial(path string, protocols ...string) (rw io.ReadWriter, closeIt func(), err error) {
	conn, early, _, err := ws.Dialer{Protocols: protocols}.Dial(w.over, "ws://"+w.address()+"/"+path)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(w.over, func() { conn.Close() })
	if early == nil {
		early = bufio.NewReader(conn)
	}
	return struct {
		io.Reader
		io.Writer
	}{early, conn}, func() { stop(); conn.Close() }, nil
}

func (w *toldWorld) plainWay(e *toldEar) func() {
	return func() {
		rw, closeIt, err := w.dial(e.channel)
		if err != nil {
			return
		}
		defer closeIt()
		for {
			payload, _, err := wsutil.ReadServerData(rw)
			if err != nil {
				e.gap()
				return
			}
			e.message(string(payload))
		}
	}
}

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
	for _, channel := range toldChannels {
		ears[channel], positions[channel] = w.ear("c10m.v1", channel), "first"
	}
	w.goes(func() {
		rw, closeIt, err := w.dial("", "c10m.v1")
		if err != nil {
			return
		}
		defer closeIt()
		for channel, position := range positions {
			if wsutil.WriteClientText(rw, []byte("SUB "+channel+" "+position)) != nil {
				return
			}
		}
		for {
			frame, _, err := wsutil.ReadServerData(rw)
			if closed, ok := err.(wsutil.ClosedError); ok && closed.Code == missedMessages {
				for _, e := range ears {
					e.gap()
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
	for _, channel := range toldChannels {
		ears[channel] = w.ear("c10m.js over "+transport, channel)
	}
	node := exec.CommandContext(w.over, servertest.Find(w.t, "node"), "testdata/told.mjs", "http://"+w.address(), transport, strings.Join(toldChannels, ","))
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
	response, err := http.Post("http://"+w.address()+"/post", "text/plain", strings.NewReader(strconv.Itoa(n)))
	if err != nil {
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
	case response.StatusCode == http.StatusOK:
		w.told("post", n, published)
	case strings.Contains(string(body), "was not published"):
		w.told("post", n, unpublished)
	case !strings.Contains(string(body), "may have been published"):
		w.failf("POST was answered with %s: %s", response.Status, body)
	}
}

// pub publishes with c10m.v1 and a key, which is answered, until its connection ends.
func (w *toldWorld) pub() {
	rw, closeIt, err := w.dial("", "c10m.v1")
	if err != nil {
		return
	}
	defer closeIt()
	for w.over.Err() == nil {
		n := w.number("pub")
		if wsutil.WriteClientText(rw, fmt.Appendf(nil, "PUB pub key-%d\n%d", n, n)) != nil {
			return
		}
		frame, _, err := wsutil.ReadServerData(rw)
		if err != nil {
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
	rw, closeIt, err := w.dial("own")
	if err != nil {
		return
	}
	defer closeIt()
	for w.over.Err() == nil {
		n := w.number("own")
		if wsutil.WriteClientText(rw, []byte(strconv.Itoa(n))) != nil {
			return
		}
		for {
			payload, _, err := wsutil.ReadServerData(rw)
			if err != nil {
				return
			}
			if string(payload) == strconv.Itoa(n) {
				break
			}
		}
		w.told("own", n, published)
		w.sleep(20)
	}
}
