package conn

import (
	"c10m/channel"
	"c10m/conn/wire"
)

// named is the shape of a delivery that says of which channel it is (docs/c10m.v1.md).
func named(mode wire.FrameMode) channel.Shape {
	return channel.Shape{Encode: func(message *channel.Message) []byte {
		payload := message.Payload()
		body := make([]byte, 0, 4+escapedBytesMax+idBytesMax+1+len(payload))
		body = appendEscaped(append(body, "MSG "...), message.Name())
		body = message.AppendID(append(body, ' '))
		body = append(append(body, '\n'), payload...)
		return wire.AppendFrame(make([]byte, 0, len(body)+10), mode.Opcode(payload), body)
	}}
}

// escapedBytesMax is the longest name of a channel in a command: each byte may
// take three.
const escapedBytesMax = 3 * channel.NameBytesMax

// appendEscaped appends a channel's name, percent-encoded as in the path of a URL
// (RFC 3986, 3.3): a slash and the characters of pchar stay as they are.
func appendEscaped(to, name []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, b := range name {
		if isPathByte[b] {
			to = append(to, b)
		} else {
			to = append(to, '%', digits[b>>4], digits[b&15])
		}
	}
	return to
}

var isPathByte = func() (is [256]bool) {
	for _, b := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/") {
		is[b] = true
	}
	return is
}()

// appendUnescaped appends what a percent-encoded name means, and reports whether it
// is well formed.
func appendUnescaped(to, name []byte) (decoded []byte, ok bool) {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' {
			if i+2 >= len(name) {
				return to, false
			}
			high, low := unhex(name[i+1]), unhex(name[i+2])
			if high > 15 || low > 15 {
				return to, false
			}
			c = high<<4 | low
			i += 2
		}
		to = append(to, c)
	}
	return to, true
}
