package access

import "bytes"

// SelectProtocol chooses what to answer to the lines of Sec-WebSocket-Protocol, which
// are one list (RFC 6455, 11.3.4): the first that is known, else TokenProtocol if that is
// there, else nothing, and never a token, whatever the token looks like. It does so without keys as well,
// since browsers give up when none of what they offered is chosen. Who offers rubbish
// gets no protocol.
func SelectProtocol(lines [][]byte, known []string) (protocol string) {
	isToken := false
	for _, line := range lines {
		for element := range bytes.SplitSeq(line, []byte(",")) {
			element = bytes.Trim(element, " \t")
			switch {
			case len(element) == 0:
			case isToken:
				isToken = false
			case string(element) == TokenProtocol:
				protocol, isToken = TokenProtocol, true
			default:
				for _, one := range known {
					if string(element) == one {
						return one
					}
				}
			}
		}
	}
	return protocol
}
