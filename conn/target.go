package conn

import (
	"errors"
	"strings"

	"c10m/conn/reasons"
)

// ParseChannel returns the channel that a request target names, by the rules of
// an upgrade: the percent-decoded path without its first slash, 1 to 255 bytes of
// UTF-8 that do not begin with "-/". An error is one sentence for who asked. Any
// goroutine may call it.
func ParseChannel(target string) ([]byte, error) {
	path, _, _ := strings.Cut(target, "?")
	if strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }) {
		path = ""
	}
	switch name, reason := appendChannel(nil, []byte(path)); reason {
	case reasons.None:
		return name, nil
	case reasons.RequestReserved:
		return nil, errors.New("channels that begin with -/ are the server's own")
	default:
		return nil, errors.New("the path does not name a channel: 1 to 255 bytes of UTF-8, percent-encoded")
	}
}
