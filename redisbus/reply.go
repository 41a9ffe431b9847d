package redisbus

import (
	"strconv"

	"github.com/tidwall/redcon"
)

// redcon appends RESP2. What RESP3 has beyond it is here, each with its RESP2
// form, so that a command is written once for both.

func appendHeader(b []byte, kind byte, n int) []byte {
	b = append(b, kind)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, '\r', '\n')
}

// appendMap begins a map of n pairs.
func appendMap(b []byte, resp3 bool, n int) []byte {
	if resp3 {
		return appendHeader(b, '%', n)
	}
	return redcon.AppendArray(b, 2*n)
}

// appendPush begins an out-of-band message of n elements.
func appendPush(b []byte, resp3 bool, n int) []byte {
	if resp3 {
		return appendHeader(b, '>', n)
	}
	return redcon.AppendArray(b, n)
}

// appendWords appends each word as a bulk string.
func appendWords(b []byte, words ...string) []byte {
	for _, word := range words {
		b = redcon.AppendBulkString(b, word)
	}
	return b
}

func appendNull(b []byte, resp3 bool) []byte {
	if resp3 {
		return append(b, "_\r\n"...)
	}
	return redcon.AppendNull(b)
}

// appendText is a text for a human: a verbatim string in RESP3.
func appendText(b []byte, resp3 bool, s string) []byte {
	if !resp3 {
		return redcon.AppendBulkString(b, s)
	}
	b = appendHeader(b, '=', len(s)+len("txt:"))
	b = append(b, "txt:"...)
	b = append(b, s...)
	return append(b, '\r', '\n')
}

// pushFrames is one message to subscribers, encoded at most once per protocol.
// It is borrowed from registry.frames: valid until the next set.
type pushFrames struct {
	kind    string // message, pmessage, smessage
	pattern string // of a pmessage
	channel []byte
	payload []byte
	encoded [2][]byte // for RESP2 and RESP3; empty: not yet
}

func (m *pushFrames) set(kind, pattern string, channel, payload []byte) {
	m.kind, m.pattern, m.channel, m.payload = kind, pattern, channel, payload
	for i, b := range m.encoded {
		m.encoded[i] = b[:0]
	}
}

// release forgets the message, and the memory of a large one.
func (m *pushFrames) release() {
	m.set("", "", nil, nil)
	for i, b := range m.encoded {
		if cap(b) > keptBufferBytesMax {
			m.encoded[i] = nil
		}
	}
}

// frame returns the message in a protocol.
func (m *pushFrames) frame(resp3 bool) []byte {
	b := &m.encoded[0]
	if resp3 {
		b = &m.encoded[1]
	}
	if len(*b) == 0 {
		*b = m.encode(*b, resp3)
	}
	return *b
}

func (m *pushFrames) encode(b []byte, resp3 bool) []byte {
	if m.kind == "pmessage" {
		b = appendWords(appendPush(b, resp3, 4), m.kind, m.pattern)
	} else {
		b = appendWords(appendPush(b, resp3, 3), m.kind)
	}
	b = redcon.AppendBulk(b, m.channel)
	return redcon.AppendBulk(b, m.payload)
}
