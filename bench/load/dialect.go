package load

import (
	"fmt"
	"slices"
	"strings"
)

// A Dialect is what differs between servers that are spoken to differently, so that
// the same client can measure them. A new one is a line of the table and, if it is
// none of the carriers, a file that has its own: nobody else asks for one by name
// (TestDialectsAreAskedNothingByName).
type Dialect struct {
	// Name is what the command line calls it.
	Name string
	carrier

	// path is the request target of a channel; nil: "/" and the channel.
	path func(channel string) string
	// protocol is offered as Sec-WebSocket-Protocol; empty: none. A server may
	// choose it or none (RFC 6455 section 4.1).
	protocol string

	// subscribe says what is still to be said once the answer was good; nil: nothing,
	// and the connection is open. Else ready has to be in the payloads first, and
	// refused tells that it will not be. Stamps are then looked for anywhere in the
	// payloads, whatever is around them and wherever frames begin and end.
	subscribe      func(h *handler, fd uint32, channel string)
	ready, refused string
	// end is the byte that follows a published payload there; 0: it ends with its message.
	end byte
}

// A carrier is how a connection begins, is cut into messages, and ends. Its functions
// are called on the loop's thread.
type carrier struct {
	// request appends what a new connection says first; nil: nothing, and it is open.
	request func(h *handler, dst []byte, s *slot) []byte
	// answered judges what has come of the answer, of which what stands from fresh on
	// has just come.
	answered func(h *handler, s *slot, fresh int) answer
	// feed takes what comes after it, cut anywhere, and gives it to the reader's sink.
	feed func(r *reader, fd uint32, held *partial, p []byte) (*partial, violation)
	// goodbye says that the client leaves, and reports whether it is said; the server
	// then has to end the stream. nil: the client just ends it.
	goodbye func(h *handler, fd uint32) (isSaid bool)
}

// dialects is the table. The first is spoken if nothing is said: this project's own,
// where the path is the channel, the 101 is the subscription, and a message is a payload.
var dialects = []*Dialect{
	{Name: "c10m", carrier: webSocket},
	{Name: "c10m.v1", carrier: webSocket, path: root, protocol: "c10m.v1",
		subscribe: inFrame(opText, twoWayGreeting), ready: "OK SUB ", refused: "ERR "},
	{Name: "centrifuge", carrier: webSocket, path: func(string) string { return "/connection/websocket" }, protocol: "centrifuge-json",
		subscribe: inFrame(opText, centrifugeGreeting), ready: `{"id":2,"subscribe":`, refused: `"error":`, end: '"'},
	{Name: "events", carrier: eventStream},
	{Name: "nats", carrier: webSocket, path: root,
		subscribe: inFrame(opBinary, natsGreeting), ready: "PONG\r\n", refused: "-ERR", end: '\r'},
	{Name: "nchan", carrier: webSocket}, // as the baseline's nginx.conf lays out its paths
}

// Bare is of servers that send frames as soon as a connection is made: floors to
// measure against. No flag names it.
var Bare = &Dialect{carrier: carrier{feed: (*reader).frames, goodbye: (*handler).sayClose}}

// DialectOf returns the dialect of that name; empty is this project's own.
func DialectOf(name string) (*Dialect, error) {
	for _, d := range dialects {
		if d.Name == name || name == "" {
			return d, nil
		}
	}
	return nil, fmt.Errorf("--dialect is %q; there are %s", name, strings.Join(DialectNames(), ", "))
}

// DialectNames are those that DialectOf knows.
func DialectNames() (names []string) {
	for _, d := range dialects {
		names = append(names, d.Name)
	}
	slices.Sort(names)
	return names
}

func root(string) string { return "/" }
