// Package wiretest is the clients' side of the codecs, for tests: what they send, and how
// they read what they are sent, as literal as the standards have it and with none of
// package wire's thoughts.
package wiretest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// Frame is a masked frame (RFC 6455, 5.2) with a first byte of the caller's choice.
func Frame(first byte, payload []byte) []byte {
	h := ws.Header{
		Fin: first&0x80 != 0, Rsv: first >> 4 & 7, OpCode: ws.OpCode(first & 15),
		Masked: true, Mask: [4]byte{0x11, 0x92, 0x33, 0xf4}, Length: int64(len(payload)),
	}
	var p bytes.Buffer
	if err := ws.WriteHeader(&p, h); err != nil {
		panic("BUG: a buffer refuses: " + err.Error())
	}
	masked := bytes.Clone(payload)
	ws.Cipher(masked, h.Mask, 0)
	p.Write(masked)
	return p.Bytes()
}

// Ping is a masked ping.
func Ping(payload string) []byte { return Frame(0x89, []byte(payload)) }

// Close is a masked close frame.
func Close(code uint16, text string) []byte {
	return Frame(0x88, append(binary.BigEndian.AppendUint16(nil, code), text...))
}

// ReadFrame reads a frame of a server that is trusted with its length.
func ReadFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// An Event is what an EventSource makes of a stream of events.
type Event struct{ Type, ID, Data string }

// ReadEvents is the client's side, after the HTML Standard, 9.2.6. lastID is its position
// at the end, and retry the last that was set. What is not ended by an empty line is
// dropped.
func ReadEvents(stream string) (events []Event, lastID, retry string) {
	stream = strings.TrimPrefix(stream, "\ufeff")
	var data, kind string
	for len(stream) > 0 {
		end := strings.IndexAny(stream, "\r\n")
		if end < 0 {
			break
		}
		line := stream[:end]
		if strings.HasPrefix(stream[end:], "\r\n") {
			end++
		}
		stream = stream[end+1:]
		if line == "" {
			if data != "" {
				if kind == "" {
					kind = "message"
				}
				events = append(events, Event{kind, lastID, strings.TrimSuffix(data, "\n")})
			}
			data, kind = "", ""
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				lastID = value
			}
		case "retry":
			retry = value
		}
	}
	return events, lastID, retry
}

// Payload is what the message was.
func (e Event) Payload(t testing.TB) string {
	t.Helper()
	if e.Type != "base64" {
		return e.Data
	}
	p, err := base64.StdEncoding.DecodeString(e.Data)
	if err != nil {
		t.Fatalf("no base64 in %q: %v", e.Data, err)
	}
	return string(p)
}

// ReadPoll reads one answer to a poll and returns its messages as "id payload".
func ReadPoll(t testing.TB, r *bufio.Reader) (response *http.Response, messages []string) {
	t.Helper()
	response, err := http.ReadResponse(r, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	list := response.Header.Get("C10m-Messages")
	for item := range strings.SplitSeq(list, ",") {
		if list == "" {
			break
		}
		id, length, _ := strings.Cut(item, ":")
		n, err := strconv.Atoi(length)
		if err != nil || n > len(body) {
			t.Fatalf("C10m-Messages %q and %d bytes are left", list, len(body))
		}
		messages = append(messages, id+" "+string(body[:n]))
		body = body[n:]
	}
	if list != "" && len(body) > 0 {
		t.Fatalf("%d bytes are left after the last of %q", len(body), list)
	}
	return response, messages
}
