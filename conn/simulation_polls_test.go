package conn

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"

	"c10m/conn/wire/wiretest"
)

const simPollRequest = "GET /c%d?wait=%d HTTP/1.1\r\nHost: h\r\n\r\n"

// ask has a client poll, sometimes twice in one piece.
func (s *simulation) ask(c *simClient) {
	for range 1 + s.random.IntN(4)/3 {
		c.toSend = fmt.Appendf(c.toSend, simPollRequest, c.channel, 1+s.random.IntN(30))
		c.asked++
	}
}

// readPolls reads the whole answers in a client's stream, and has it poll again
// when it has all that it asked for.
func (s *simulation) readPolls(c *simClient) {
	for requestEnd(c.stream, 0) > 0 && !c.closed {
		unread := bytes.NewReader(c.stream)
		buffer := bufio.NewReader(unread)
		response, err := http.ReadResponse(buffer, &http.Request{Method: "GET"})
		if err != nil {
			s.failf("a poll is answered with %.200q: %v", c.stream, err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return // not whole yet
		}
		size := len(c.stream) - unread.Len() - buffer.Buffered()
		switch {
		case response.StatusCode == 200:
			_, messages := wiretest.ReadPoll(s.t, bufio.NewReader(bytes.NewReader(c.stream[:size])))
			for _, m := range messages {
				_, payload, _ := bytes.Cut([]byte(m), []byte(" "))
				s.understandMessage(c, payload)
			}
			c.answers += len(messages)
		case response.StatusCode != 204:
			// A request that took too long, or a full server.
			c.closed, c.stream = true, nil
			return
		}
		c.upgraded = true
		if c.asked--; c.asked < 0 {
			s.failf("a client got an answer more than it asked for: %.200q", c.stream)
		}
		c.stream = c.stream[size:]
		if c.asked == 0 {
			s.ask(c)
		}
	}
}

// polled is how many messages came to polls.
func (s *simulation) polled() (messages uint64) {
	for _, c := range s.clients {
		messages += uint64(c.answers)
	}
	return messages
}
