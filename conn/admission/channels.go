package admission

import (
	"errors"
	"strings"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
)

// Name finds the channel that a path names.
func (j *Judge) Name(path []byte) (reason reasons.Reason) {
	j.Channel, reason = AppendChannel(j.Channel[:0], path)
	return reason
}

// AppendChannel appends the channel that a path names: percent-decoded, without its
// first slash. Who means a ? or a # writes %3F and %23.
func AppendChannel(to, path []byte) ([]byte, reasons.Reason) {
	if len(path) == 0 || path[0] != '/' {
		return to, reasons.RequestChannel
	}
	to, ok := wire.AppendUnescaped(to, path[1:])
	switch {
	case ok && channel.IsReserved(to):
		return to, reasons.RequestReserved
	case !ok || !channel.ValidName(to):
		return to, reasons.RequestChannel
	}
	return to, reasons.None
}

// ParseChannel returns the channel that a request target names, by the rules of
// an upgrade: the percent-decoded path without its first slash, 1 to 255 bytes of
// UTF-8 that do not begin with "-/". An error is one sentence for who asked. Any
// goroutine may call it.
func ParseChannel(target string) ([]byte, error) {
	path, _, _ := strings.Cut(target, "?")
	if strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }) {
		path = ""
	}
	switch name, reason := AppendChannel(nil, []byte(path)); reason {
	case reasons.None:
		return name, nil
	case reasons.RequestReserved:
		return nil, errors.New("channels that begin with -/ are the server's own")
	default:
		return nil, errors.New("the path does not name a channel: 1 to 255 bytes of UTF-8, percent-encoded")
	}
}
