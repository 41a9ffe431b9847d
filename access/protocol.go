package access

import "bytes"

// TwoWayProtocol is the subprotocol with which one connection has many channels
// and may publish to others than its own: docs/c10m.v1.md.
const TwoWayProtocol = "c10m.v1"

// SelectProtocol chooses what to answer to the lines of Sec-WebSocket-Protocol, which
// are one list (RFC 6455, 11.3.4): TwoWayProtocol if it is there, else TokenProtocol if
// that is, else nothing, and
// never a token, whatever the token looks like. It does so without keys as well,
// since browsers give up when none of what they offered is chosen. Who offers rubbish
// gets no protocol.
func SelectProtocol(lines [][]byte) (protocol string) {
	isToken := false
	for _, line := range lines {
		for element := range bytes.SplitSeq(line, []byte(",")) {
			element = bytes.Trim(element, " \t")
			switch {
			case len(element) == 0:
			case isToken:
				isToken = false
			case string(element) == TwoWayProtocol:
				return TwoWayProtocol
			case string(element) == TokenProtocol:
				protocol, isToken = TokenProtocol, true
			}
		}
	}
	return protocol
}
