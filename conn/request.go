package conn

import (
	"bytes"

	"c10m/conn/wire"
)

// A route is who answers a request.
type route uint8

const (
	routeUpgrade   route = iota // a WebSocket, or an error as ever
	routeProtocol               // GET or HEAD that asks for one of the table: events, a poll
	routePublish                // POST
	routePreflight              // OPTIONS
	routePage                   // GET or HEAD of / or of a path that is the server's own
	routeInvite                 // GET or HEAD of any other: how to connect
	routeMethod                 // all else
)

// routeOf says who answers a request, and with routeProtocol, which. What makes a GET an
// upgrade makes nothing of another method (RFC 6455, 4.2.1).
func routeOf(h *wire.Head) (route, *protocol) {
	switch string(h.Method()) {
	case "POST":
		return routePublish, nil
	case "OPTIONS":
		return routePreflight, nil
	case "GET":
		if h.IsUpgrade() {
			return routeUpgrade, nil
		}
		fallthrough
	case "HEAD":
		if bytes.HasPrefix(h.Path(), []byte("/-/")) {
			return routePage, nil
		}
		for _, p := range protocols {
			if p.answers != nil && p.answers(h) {
				return routeProtocol, p
			}
		}
		if string(h.Path()) == "/" {
			return routePage, nil
		}
		return routeInvite, nil
	}
	return routeMethod, nil
}
