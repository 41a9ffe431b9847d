package access

import "bytes"

// TwoWayProtocol is the subprotocol with which one connection has many channels
// and may publish to others than its own: docs/c10m.v1.md.
const TwoWayProtocol = "c10m.v1"

// SelectProtocol chooses what to answer to a Sec-WebSocket-Protocol field:
// TwoWayProtocol if it is there, else TokenProtocol if that is, else nothing, and
// never a token, whatever the token looks like. It does so without keys as well,
// since browsers give up when none of what they offered is chosen. It always
// reports that the field is well formed: who offers rubbish gets no protocol. (It
// is the Upgrader's ProtocolCustom, which asks it field by field until one is
// chosen; so who spreads the list over several has to begin with the one that he
// prefers, RFC 6455, 11.3.4 or not.)
func SelectProtocol(value []byte) (protocol string, ok bool) {
	isToken := false
	for element := range bytes.SplitSeq(value, []byte(",")) {
		element = bytes.Trim(element, " \t")
		switch {
		case len(element) == 0:
		case isToken:
			isToken = false
		case string(element) == TwoWayProtocol:
			return TwoWayProtocol, true
		case string(element) == TokenProtocol:
			protocol, isToken = TokenProtocol, true
		}
	}
	return protocol, true
}
