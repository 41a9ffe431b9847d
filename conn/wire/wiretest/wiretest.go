// Package wiretest is the clients' side of the codecs, for tests: what they send, and how
// they read what they are sent, as literal as the standards have it and with none of
// package wire's thoughts.
package wiretest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/gobwas/ws"
)

// Frame is a masked frame (RFC 6455, 5.2) with a first byte of the caller's choice.
func Frame(first byte, payload []byte) []byte {
	mask := [4]byte{0x11, 0x92, 0x33, 0xf4}
	p := []byte{first}
	switch n := len(payload); {
	case n < 126:
		p = append(p, 0x80|byte(n))
	case n < 1<<16:
		p = binary.BigEndian.AppendUint16(append(p, 0x80|126), uint16(n))
	default:
		p = binary.BigEndian.AppendUint64(append(p, 0x80|127), uint64(n))
	}
	p = append(p, mask[:]...)
	for i, b := range payload {
		p = append(p, b^mask[i%4])
	}
	return p
}

// Ping is a masked ping.
func Ping(payload string) []byte { return Frame(0x89, []byte(payload)) }

// Close is a masked close frame.
func Close(code uint16, text string) []byte {
	return Frame(0x88, append(binary.BigEndian.AppendUint16(nil, code), text...))
}

// Join is its parts, one behind the other.
func Join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// ReadFrame reads a frame of a server that is trusted with its length.
func ReadFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// CutFrame cuts the first frame of a server off a stream. isWhole is false if not all of
// it is there.
func CutFrame(stream []byte) (f ws.Frame, rest []byte, isWhole bool, err error) {
	r := bytes.NewReader(stream)
	f.Header, err = ws.ReadHeader(r)
	at := len(stream) - r.Len()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return f, stream, false, nil
	case err != nil, int64(r.Len()) < f.Header.Length:
		return f, stream, false, err
	}
	end := at + int(f.Header.Length)
	f.Payload = stream[at:end]
	return f, stream[end:], true, nil
}
