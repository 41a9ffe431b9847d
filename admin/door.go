package admin

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"c10m/access"

	"github.com/prometheus/client_golang/prometheus"
)

// A door lets everybody in and keeps connections within connectionsMax: when there
// are too many, one that waits for its client makes room for the newcomer. So
// nobody can keep a load balancer's probe out by holding connections.
type door struct {
	// Guarded by mu.
	mu       sync.Mutex
	visitors map[net.Conn]*visitor
	held     map[access.Key]int // connections of each address

	closed *prometheus.CounterVec // fixed after construction
}

type visitor struct {
	// Fixed after construction.
	conn net.Conn
	key  access.Key

	// Guarded by the door's mu.
	serving bool      // a page works on its request
	since   time.Time // when serving changed
}

// Why a connection made room for another: the values of a counter's label.
const (
	doorFull    = "full"    // all places were taken
	doorAddress = "address" // its address had too many
	doorIdle    = "idle"    // it was idle for a while, and most places were taken
)

func newDoor(registry prometheus.Registerer) *door {
	d := &door{visitors: make(map[net.Conn]*visitor), held: make(map[access.Key]int), closed: newCounters(registry, "admin_closed_total",
		"Connections to the admin pages that were closed to make room for others, by reason: full is that all places were taken, address that one address had too many, idle that one waited for long while most places were taken. A rise means that somebody holds connections there, or that --admin is reached by more than it is for.",
		"reason", doorFull, doorAddress, doorIdle)}
	newGauge(registry, "admin_connections", "Connections to the admin pages.", func() float64 { return float64(d.count()) })
	return d
}

func (d *door) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.visitors)
}

func (d *door) crowded() bool { return d.count() > crowdedMin }

type visitorKey struct{}

// admit is http.Server.ConnContext: it is called for each newcomer, before anything
// is read from it.
func (d *door) admit(ctx context.Context, c net.Conn) context.Context {
	v := &visitor{conn: c, since: time.Now()}
	if peer, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		address, _ := netip.AddrFromSlice(peer.IP)
		v.key = access.KeyOf(address)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.held[v.key] >= connectionsPerAddressMax:
		d.end(d.victim(func(o *visitor) bool { return o.key == v.key }), doorAddress)
	case len(d.visitors) >= connectionsMax:
		d.end(d.victim(func(*visitor) bool { return true }), doorFull)
	}
	if len(d.visitors) >= crowdedMin {
		for _, o := range d.visitors {
			if !o.serving && v.since.Sub(o.since) > crowdedIdleSecondsMax*time.Second {
				d.end(o, doorIdle)
			}
		}
	}
	d.visitors[c] = v
	d.held[v.key]++
	return context.WithValue(ctx, visitorKey{}, v)
}

// victim is who makes room: one that waits rather than one that is being served, of
// the address that has the most, the longest first.
func (d *door) victim(among func(*visitor) bool) (worst *visitor) {
	for _, v := range d.visitors {
		if among(v) && (worst == nil || d.before(v, worst)) {
			worst = v
		}
	}
	return worst
}

func (d *door) before(a, b *visitor) bool {
	if a.serving != b.serving {
		return b.serving
	}
	if d.held[a.key] != d.held[b.key] {
		return d.held[a.key] > d.held[b.key]
	}
	return a.since.Before(b.since)
}

func (d *door) end(v *visitor, reason string) {
	d.closed.WithLabelValues(reason).Inc()
	d.forget(v.conn)
	_ = v.conn.Close()
}

func (d *door) forget(c net.Conn) {
	v := d.visitors[c]
	if v == nil {
		return
	}
	delete(d.visitors, c)
	if d.held[v.key]--; d.held[v.key] == 0 {
		delete(d.held, v.key)
	}
}

// connState is http.Server.ConnState.
func (d *door) connState(c net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.forget(c)
	}
}

// through notes who is being served. While there is a crowd, an answer is the last
// on its connection.
func (d *door) through(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, _ := r.Context().Value(visitorKey{}).(*visitor)
		if v == nil {
			panic("BUG: an admin request that did not come through the door")
		}
		d.serve(v, true)
		defer d.serve(v, false)
		if d.crowded() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (d *door) serve(v *visitor, serving bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v.serving, v.since = serving, time.Now()
}
