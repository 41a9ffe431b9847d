package wire

import (
	"crypto/sha1"
	"encoding/base64"
)

// The handshake of WebSockets (RFC 6455, 4.2).

// AppendSwitch appends the answer to a good request (RFC 6455, 4.2.2).
func AppendSwitch(out, key []byte, protocol string) []byte {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	var nonce [keyBytes + len(guid)]byte
	copy(nonce[copy(nonce[:], key):], guid)
	sum := sha1.Sum(nonce[:])
	out = append(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	out = base64.StdEncoding.AppendEncode(out, sum[:])
	if protocol != "" {
		out = append(append(out, "\r\nSec-WebSocket-Protocol: "...), protocol...)
	}
	return append(out, "\r\n\r\n"...)
}

// keyBytes is the length of a key: 16 bytes in base64 (RFC 6455, 4.1).
const keyBytes = 24

// ValidKey reports whether value can be a Sec-WebSocket-Key (RFC 6455, 4.1 and 11.3.1).
func ValidKey(value []byte) bool {
	var nonce [18]byte
	if len(value) != keyBytes {
		return false
	}
	n, err := base64.StdEncoding.Decode(nonce[:], value)
	return err == nil && n == 16
}
