// Package peers holds what the server is compared with: small programs on
// other libraries, and the configurations of servers that are installed. Each
// has the settings that its authors recommend; README.md has a line on each.
//
// The program on evio, and the subscription that all of them share, are in
// bench/baseline, in the server's own module.
package peers

import _ "embed"

// NchanConfig is a text/template of an nginx.conf, executed with a Place.
//
//go:embed nchan/nginx.conf
var NchanConfig string

// NATSConfig is a text/template of a nats-server configuration, executed with a
// Place.
//
//go:embed nats/nats.conf
var NATSConfig string

// A Place is where a server listens, always on 127.0.0.1.
type Place struct {
	Directory   string // for what the server writes
	Port        int    // of the WebSockets
	PublishPort int
	Workers     int // processes that share the connections
	Descriptors int // that one process may have
}
