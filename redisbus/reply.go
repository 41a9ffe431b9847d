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
	two     []byte
	three   []byte
}

func (m *pushFrames) set(kind, pattern string, channel, payload []byte) {
	m.kind, m.pattern, m.channel, m.payload = kind, pattern, channel, payload
	m.two, m.three = m.two[:0], m.three[:0]
}

// release forgets the message, and the memory of a large one.
func (m *pushFrames) release() {
	m.set("", "", nil, nil)
	if cap(m.two) > keptBufferBytesMax {
		m.two = nil
	}
	if cap(m.three) > keptBufferBytesMax {
		m.three = nil
	}
}

func (m *pushFrames) resp2() []byte {
	if len(m.two) == 0 {
		m.two = m.encode(m.two, false)
	}
	return m.two
}

func (m *pushFrames) resp3() []byte {
	if len(m.three) == 0 {
		m.three = m.encode(m.three, true)
	}
	return m.three
}

func (m *pushFrames) encode(b []byte, resp3 bool) []byte {
	if m.kind == "pmessage" {
		b = appendPush(b, resp3, 4)
		b = redcon.AppendBulkString(b, m.kind)
		b = redcon.AppendBulkString(b, m.pattern)
	} else {
		b = appendPush(b, resp3, 3)
		b = redcon.AppendBulkString(b, m.kind)
	}
	b = redcon.AppendBulk(b, m.channel)
	return redcon.AppendBulk(b, m.payload)
}
