package wire

import (
	"bytes"
	"encoding/hex"
)

// How channels, positions and keys are written.

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// The characters of a token (RFC 9110, 5.6.2), those that a path and a host have without an
// escape (RFC 3986, 2.2, 2.3 and 3.3), and hexadecimal digits.
var (
	isTokenByte = setOf(alphanumeric + "!#$%&'*+-.^_`|~")
	isPathByte  = setOf(alphanumeric + "-._~!$&'()*+,;=:@/")
	isHostByte  = setOf(alphanumeric + "-._~!$&'()*+,;=")
	isHexByte   = setOf("0123456789abcdefABCDEF")
)

func setOf(chars string) (is [256]bool) {
	for i := range len(chars) {
		is[chars[i]] = true
	}
	return is
}

// AppendEscaped appends a channel's name, percent-encoded as in the path of a URL
// (RFC 3986, 3.3): a slash and the characters of pchar stay as they are.
func AppendEscaped(to, name []byte) []byte {
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

// AppendUnescaped appends what a percent-encoded name means (RFC 3986, 2.1), and
// reports whether it is well formed.
func AppendUnescaped(to, name []byte) (decoded []byte, ok bool) {
	for {
		before, after, isEscaped := bytes.Cut(name, []byte("%"))
		to = append(to, before...)
		if !isEscaped {
			return to, true
		}
		if len(after) < 2 {
			return to, false
		}
		var err error
		if to, err = hex.AppendDecode(to, after[:2]); err != nil {
			return to, false
		}
		name = after[2:]
	}
}

// ParseKey takes the key of a message as publishers write it: bare, or as a string of RFC
// 9651 (3.3.3), which the draft of Idempotency-Key asks for ("2f1c"). It has 1 to
// KeyBytesMax printable ASCII characters, no blanks, quotes and backslashes. The key is a
// part of text.
func ParseKey(text []byte) (key []byte, ok bool) {
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
		text = text[1 : n-1]
	}
	return text, isMessageKey(text)
}

func isMessageKey(key []byte) bool {
	return isPrintable(key, KeyBytesMax) && !bytes.ContainsAny(key, `"\`)
}

// isPrintable reports whether text is 1 to bytesMax characters of printable ASCII, and none
// is a blank.
func isPrintable(text []byte, bytesMax int) bool {
	for _, b := range text {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return len(text) > 0 && len(text) <= bytesMax
}
