package wire

import (
	"bytes"
	"strconv"
)

// AppendNetstring appends a payload as a netstring (D. J. Bernstein, 1997): its length
// in decimal, a colon, the payload, a comma.
func AppendNetstring(to, payload []byte) []byte {
	to = append(strconv.AppendInt(to, int64(len(payload)), 10), ':')
	return append(append(to, payload...), ',')
}

// ParseNetstring returns the payload of p, which is one netstring and nothing else.
func ParseNetstring(p []byte) (payload []byte, ok bool) {
	length, rest, isThere := bytes.Cut(p, []byte(":"))
	n, err := strconv.ParseUint(string(length), 10, 31)
	if !isThere || err != nil || len(rest) != int(n)+1 || rest[n] != ',' {
		return nil, false
	}
	return rest[:n], true
}
