package conn

import (
	"bytes"
	"errors"
)

// ParseChannel returns the channel that a request target names, by the rules of
// an upgrade: the percent-decoded path without its first slash, 1 to 255 bytes of
// UTF-8 that do not begin with "-/". An error is one sentence for who asked. Any
// goroutine may call it.
func ParseChannel(target string) ([]byte, error) {
	switch name, err := appendChannel(nil, []byte(target)); err {
	case nil:
		return name, nil
	case errReserved:
		return nil, errors.New("channels that begin with -/ are the server's own")
	default:
		return nil, errors.New("the path does not name a channel: 1 to 255 bytes of UTF-8, percent-encoded")
	}
}

// queryValue returns the value of a field in a target's query, as it stands; none
// of ours needs percent-encoding. Of several the first counts.
func queryValue(target []byte, name string) (value []byte, is bool) {
	_, query, _ := bytes.Cut(target, []byte("?"))
	for len(query) > 0 {
		var field []byte
		field, query, _ = bytes.Cut(query, []byte("&"))
		key, value, _ := bytes.Cut(field, []byte("="))
		if string(key) == name {
			return value, true
		}
	}
	return nil, false
}
