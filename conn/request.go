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
	routeRoot                   // GET or HEAD of /
	routePage                   // GET or HEAD of a path that is the server's own
	routeInvite                 // GET or HEAD of any other: how to connect
	routeMethod                 // all else
)

// routeOf says who answers a request, and with routeProtocol, which. What makes a GET an upgrade makes nothing of
// another method (RFC 6455, 4.2.1).
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
		if isOwn(h) {
			return routePage, nil
		}
		for _, p := range protocols {
			if p.answers != nil && p.answers(h) {
				return routeProtocol, p
			}
		}
		if string(h.Path()) == "/" {
			return routeRoot, nil
		}
		return routeInvite, nil
	}
	return routeMethod, nil
}

// isHead reports whether a request, or what there is of it, asks with HEAD: then no
// answer to it has a body.
func isHead(request []byte) bool { return bytes.HasPrefix(request, []byte("HEAD ")) }

// isOwn reports whether the path is one of the server's own.
func isOwn(h *wire.Head) bool { return bytes.HasPrefix(h.Path(), []byte("/-/")) }
