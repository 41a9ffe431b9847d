package load

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A requester writes upgrade requests (RFC 6455 section 4.1) and knows the
// right answers to them.
type requester struct {
	// Fixed after construction.
	channel string // with %d for the number of the connection
	number  bool
	dialect *Dialect // nil: this project's own
	token   string   // for Authorization; empty: none
}

func newRequester(channel, token string) requester {
	return requester{channel: channel, number: strings.Contains(channel, "%d"), token: token}
}

// channelOf is the name of the channel of a connection.
func (r requester) channelOf(number int) string {
	if !r.number {
		return r.channel
	}
	return strings.ReplaceAll(r.channel, "%d", strconv.Itoa(number))
}

const acceptBytes = 28 // base64 of a SHA-1

// appendRequest appends the request of a connection and returns what its
// Sec-WebSocket-Accept has to be. nonce is any number that is new each time.
func (r requester) appendRequest(dst []byte, target netip.AddrPort, number int, nonce [2]uint64) (request []byte, accept [acceptBytes]byte) {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:], nonce[0])
	binary.LittleEndian.PutUint64(raw[8:], nonce[1])
	var keyed [24 + len(acceptGUID)]byte
	base64.StdEncoding.Encode(keyed[:24], raw[:])
	copy(keyed[24:], acceptGUID)
	sum := sha1.Sum(keyed[:])
	base64.StdEncoding.Encode(accept[:], sum[:])

	dst = append(dst, "GET "...)
	dst = append(dst, r.dialect.target(r.channelOf(number))...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = target.AppendTo(dst)
	dst = append(dst, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	dst = append(dst, keyed[:24]...)
	if r.dialect != nil && r.dialect.protocol != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, r.dialect.protocol...)
	}
	if r.token != "" {
		dst = append(dst, "\r\nAuthorization: Bearer "...)
		dst = append(dst, r.token...)
	}
	return append(dst, "\r\n\r\n"...), accept
}

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 section 1.3

// An answer is what the server said to a request.
type answer struct {
	bytes   int    // of the response head; 0: not all of it is there yet
	status  int    // 101 if the upgrade was made
	problem string // not empty: the 101 is not what RFC 6455 section 4.1 asks for
}

// parseAnswer reads the head of a response. A refusal counts as complete with
// its status line: its body is of no interest. offered is a subprotocol that the
// server may have chosen.
func parseAnswer(p []byte, accept []byte, offered string) answer {
	line, rest, found := bytes.Cut(p, []byte("\r\n"))
	if !found {
		return tooLong(p)
	}
	status, err := statusOf(line)
	if err != nil {
		return answer{bytes: len(line), problem: err.Error()}
	}
	if status != 101 {
		return answer{bytes: len(line), status: status}
	}
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return tooLong(p)
	}
	a := answer{bytes: end + 4, status: status}
	rest = rest[:max(0, end+2-len(line)-2)]
	a.problem = checkUpgrade(rest, accept, offered)
	return a
}

func tooLong(p []byte) answer {
	if len(p) >= responseBytesMax {
		return answer{bytes: len(p), problem: fmt.Sprintf("the response head is longer than %d bytes", responseBytesMax)}
	}
	return answer{}
}

func statusOf(line []byte) (int, error) {
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " || len(line) > 12 && line[12] != ' ' {
		return 0, fmt.Errorf("the answer is not HTTP/1.1: %.40q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return 0, fmt.Errorf("the status is not a number: %.40q", line)
	}
	return status, nil
}

// checkUpgrade looks for the headers that RFC 6455 section 4.1 demands, in
// lines that each end with CRLF.
func checkUpgrade(headers, accept []byte, offered string) (problem string) {
	var upgrade, connection, accepted bool
	for len(headers) > 0 {
		line, rest, _ := bytes.Cut(headers, []byte("\r\n"))
		headers = rest
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case asciiFold(name, "upgrade"):
			upgrade = asciiFold(value, "websocket")
		case asciiFold(name, "connection"):
			connection = asciiFold(value, "upgrade")
		case asciiFold(name, "sec-websocket-accept"):
			accepted = bytes.Equal(value, accept)
		case asciiFold(name, "sec-websocket-protocol") && string(value) == offered && offered != "":
		case asciiFold(name, "sec-websocket-extensions"), asciiFold(name, "sec-websocket-protocol"):
			return "the server chose an extension or a protocol that nobody offered"
		}
	}
	switch {
	case !upgrade:
		return "the 101 has no Upgrade: websocket"
	case !connection:
		return "the 101 has no Connection: Upgrade"
	case !accepted:
		return "the 101 has a wrong Sec-WebSocket-Accept"
	}
	return ""
}

// asciiFold compares with a lower-case word, without allocating.
func asciiFold(p []byte, word string) bool {
	if len(p) != len(word) {
		return false
	}
	for i, c := range p {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
