package report

import (
	"fmt"
	"maps"
	"slices"
)

// A figure is a number with its name, as the text and the page print it.
type figure struct{ Name, Value string }

// A group of figures.
type group struct {
	Name    string
	Figures []figure
}

func (g *group) add(known bool, name, format string, args ...any) {
	if known {
		g.Figures = append(g.Figures, figure{name, fmt.Sprintf(format, args...)})
	}
}

// A latency is a line of the table of latencies.
type latency struct {
	Name string
	Quantiles
}

// latencies are those that were measured.
func latencies(r *Result) (list []latency) {
	all := []latency{{"connect", r.Connections.Latency}}
	for i := range r.Streams {
		name := r.Streams[i].Name
		if !r.Streams[i].Corrected {
			name += " (from the publish)"
		}
		all = append(all, latency{name, r.Streams[i].Latency})
	}
	if r.Storm != nil {
		all = append(all, latency{"connect in the storm", r.Storm.Latency})
	}
	if r.Churn != nil {
		all = append(all, latency{"connect in the churn", r.Churn.Latency})
	}
	if r.Disconnect != nil {
		all = append(all, latency{"messages while they were let go", r.Disconnect.Latency})
	}
	if p := r.Posts; p != nil {
		all = append(all, latency{"a round of " + plural(uint64(p.Depth), "post"), p.Round})
	}
	return slices.DeleteFunc(all, func(l latency) bool { return l.Count == 0 })
}

// figures are all that r has, but the latencies and the samples.
func figures(r *Result) (groups []group) {
	groups = append(groups, connectionFigures(&r.Connections))
	for i := range r.Streams {
		groups = append(groups, streamFigures(&r.Streams[i]))
	}
	if s := r.Storm; s != nil {
		g := group{Name: "Storm"}
		g.add(true, "connections dropped", "%s", Count(s.Dropped))
		g.add(s.JitterSeconds > 0, "jitter", "%s s", Number(s.JitterSeconds))
		g.add(s.RecoverySeconds > 0, "until the last was back", "%s s", Number(s.RecoverySeconds))
		g.add(s.ServedSeconds > 0, "until the last had a message", "%s s", Number(s.ServedSeconds))
		groups = append(groups, g)
	}
	if c := r.Churn; c != nil {
		g := group{Name: "Churn"}
		g.add(c.Rate > 0, "asked for", "%s connections a second", Number(c.Rate))
		g.add(true, "disconnected", "%s", Count(c.Disconnected))
		g.add(true, "connected again", "%s", Count(c.Reconnected))
		groups = append(groups, g)
	}
	if d := r.Disconnect; d != nil {
		groups = append(groups, disconnectFigures(d))
	}
	if r.Posts != nil {
		groups = append(groups, postsFigures(r.Posts, r.Usage.ServerCores))
	}
	if u := r.UserSpace; u != nil {
		groups = append(groups, userSpaceFigures(u))
	}
	if s := r.Soak; s != nil {
		groups = append(groups, soakFigures(s), garbageFigures(s))
	}
	return slices.DeleteFunc(append(groups, usageFigures(&r.Usage), memoryFigures(&r.Usage), clientFigures(r)),
		func(g group) bool { return len(g.Figures) == 0 })
}

func disconnectFigures(d *Disconnect) group {
	g := group{Name: "Disconnect"}
	g.add(true, "connections ended", "%s", Count(d.Ended))
	g.add(true, "stayed", "%s", Count(d.Stayed))
	g.add(d.LetGoSeconds > 0, "until the server had closed the last", "%s s", Number(d.LetGoSeconds))
	g.add(d.Held > 0, "not closed by the server", "%s", Count(d.Held))
	g.add(d.Unknown != "", "when the server had closed the last", "not known, since %s", d.Unknown)
	g.add(d.MemorySeconds > 0, "until the host's memory was back", "%s s", Number(d.MemorySeconds))
	// Else other programs gave back more than the connections took.
	known := d.Host.End > 0 && d.Host.Connected > d.Host.Before
	g.add(known && d.MemorySeconds == 0, "the host's memory", "not back")
	g.add(known, "left of what they took", "%s", size(d.MemoryLeft))
	for _, of := range []struct {
		name string
		*Memories
	}{{"server resident", &d.Server}, {"host used", &d.Host}} {
		g.add(of.Before > 0, of.name+" before", "%s", size(of.Before))
		g.add(of.Connected > 0, of.name+" with all", "%s", size(of.Connected))
		g.add(of.End > 0, of.name+" at the end", "%s", size(of.End))
	}
	return g
}

// postsFigures begin with what was asked for, so that bench/tables can tell runs apart.
func postsFigures(p *Posts, serverCores float64) group {
	g := group{Name: "Posts"}
	g.add(true, fmt.Sprintf("%s, %s under way on each, %s bytes:", plural(uint64(p.Connections), "connection"), Count(p.Depth), Count(p.PayloadBytes)),
		"%s posts a second", Number(p.PerSecond))
	g.add(true, "published", "%s", Count(p.Published))
	g.add(true, "refused (429)", "%s", Count(p.Refused))
	if serverCores > 0 && p.PerSecond > 0 {
		g.add(true, "of the server", "%s us a post", Number(serverCores*1e6/p.PerSecond))
		g.add(true, "for a whole processor", "%s posts a second", Number(p.PerSecond/serverCores))
	}
	return g
}

func userSpaceFigures(u *UserSpace) group {
	g := group{Name: "User space"}
	g.add(true, "ends", "%s", Count(u.Connections))
	g.add(true, "kernel sockets beside them", "%s", Count(u.Sample))
	g.add(u.Queues > 1, "queues", "%s", Count(u.Queues))
	policy := "each segment at once"
	if u.AckMillis > 0 {
		policy = fmt.Sprintf("after %s ms or every second segment", Number(u.AckMillis))
	}
	g.add(true, "acknowledged", "%s", policy)
	g.add(true, "segments received", "%s", Count(u.Segments))
	g.add(true, "sent again by the server", "%s of %s (%s %%)", Count(u.ServerRetransmitted), Count(u.ServerSegments),
		Number(100*float64(u.ServerRetransmitted)/float64(max(u.ServerSegments, 1))))
	g.add(true, "dropped by the full device", "%s", Count(u.DeviceDrops))
	g.add(true, "out of order, dropped", "%s", Count(u.OutOfOrder))
	g.add(true, "received again", "%s", Count(u.Repeated))
	g.add(true, "acknowledgements alone", "%s", Count(u.Acks))
	g.add(true, "sent again by the ends", "%s", Count(u.Retransmitted))
	return g
}

func connectionFigures(c *Connections) group {
	g := group{Name: "Connections"}
	g.add(true, "asked for", "%s", Count(c.Wanted))
	g.add(true, "opened", "%s", Count(c.Opened))
	g.add(true, "open at the end", "%s", Count(c.Open))
	g.add(c.Seconds > 0, "time to connect", "%s s", Number(c.Seconds))
	g.add(c.PerSecond > 0, "connects a second", "%s", Number(c.PerSecond))
	g.add(true, "given up", "%s", Count(c.GaveUp))
	g.add(true, "tried again", "%s", Count(c.Retries))
	for _, kind := range slices.Sorted(maps.Keys(c.Failures)) {
		g.add(c.Failures[kind] > 0, "failed: "+kind, "%s", Count(c.Failures[kind]))
	}
	for _, code := range slices.Sorted(maps.Keys(c.Closes)) {
		g.add(c.Closes[code] > 0, fmt.Sprintf("closed with %d", code), "%s", Count(c.Closes[code]))
	}
	for _, kind := range slices.Sorted(maps.Keys(c.Broken)) {
		g.add(c.Broken[kind] > 0, "protocol broken: "+kind, "%s", Count(c.Broken[kind]))
	}
	g.add(true, "ended without a close frame", "%s", Count(c.Dropped))
	g.add(c.Pings > 0, "pings from the server", "%s", Count(c.Pings))
	g.add(c.Pings > 0, "pongs to it", "%s", Count(c.Pongs))
	g.add(c.Problem != "", "for example", "%s", c.Problem)
	return g
}

// streamFigures has every count of what went wrong, as 0 is what was measured.
func streamFigures(s *Stream) group {
	g := group{Name: "Messages: " + s.Name}
	g.add(s.PayloadBytes > 0, "payload", "%s bytes", Count(s.PayloadBytes))
	g.add(s.Rate > 0, "asked for", "%s messages a second", Number(s.Rate))
	g.add(s.InFlight > 0, "under way at a time", "%s", Count(s.InFlight))
	g.add(s.Subscribers > 0, "connections per message", "%s", Count(s.Subscribers))
	g.add(s.Listeners > 0, "connections that listen", "%s", Count(s.Listeners))
	g.add(true, "published", "%s", Count(s.Published))
	g.add(s.Corrected, "published late", "%s", Count(s.Late))
	g.add(true, "deliveries due", "%s", Count(s.Expected))
	g.add(true, "delivered", "%s", Count(s.Delivered))
	g.add(true, "lost", "%s", Count(s.Lost))
	g.add(true, "duplicated", "%s", Count(s.Duplicated))
	g.add(true, "out of order", "%s", Count(s.OutOfOrder))
	g.add(true, "corrupt", "%s", Count(s.Corrupt))
	g.add(s.Seconds > 0, "first publish to last delivery", "%s s", Number(s.Seconds))
	g.add(s.PerSecond > 0, "deliveries a second", "%s", Number(s.PerSecond))
	return g
}

// usageFigures are means over the measured part; the highest are of a second.
func usageFigures(u *Usage) group {
	g := group{Name: "Cores used"}
	g.add(u.ServerCores > 0, "server", "%s", Number(u.ServerCores))
	g.add(u.ClientCores > 0, "client", "%s", Number(u.ClientCores))
	g.add(u.HostCores > 0, "host, everything", "%s", Number(u.HostCores))
	g.add(u.ClientCoresMax > 0, "client, highest", "%s", Number(u.ClientCoresMax))
	g.add(u.HostCoresMax > 0, "host, highest", "%s", Number(u.HostCoresMax))
	return g
}

// memoryFigures begin with what can be compared with other servers.
func memoryFigures(u *Usage) group {
	g := group{Name: "Memory"}
	g.add(u.ServerPerConn > 0, "server, per connection", "%s", perConn(u.ServerPerConn))
	g.add(u.HostPerConn > 0, "host, per connection, both ends", "%s", perConn(u.HostPerConn))
	g.add(u.KernelPerConn > 0, "kernel slab, per connection", "%s", perConn(u.KernelPerConn))
	g.add(u.ServerResident > 0, "server resident, all connected", "%s", size(u.ServerResident))
	g.add(u.ServerBefore > 0, "server resident, before", "%s", size(u.ServerBefore))
	g.add(u.ClientResident > 0, "client resident", "%s", size(u.ClientResident))
	return g
}

// clientFigures are how far the client is to be believed, and where it ran.
func clientFigures(r *Result) group {
	g, u, h := group{Name: "Client"}, &r.Usage, &r.Host
	g.add(u.ReadDelayP99Mill > 0, "wait for a read, p99", "%s ms", millis(u.ReadDelayP99Mill))
	g.add(u.ClientTurnP99Mill > 0, "turn of a loop, p99", "%s ms", millis(u.ClientTurnP99Mill))
	g.add(h.Loops > 0, "loops", "%s", Count(h.Loops))
	g.add(h.PrivateFDs, "descriptor tables", "private")
	g.add(h.NofileHard > 0, "hard nofile limit", "%s", Count(h.NofileHard))
	g.add(h.Cores > 0, "cores of the host", "%s", Count(h.Cores))
	g.add(h.MemoryBytes > 0, "memory of the host", "%s", size(h.MemoryBytes))
	g.add(r.Seconds > 0, "whole run", "%s s", Number(r.Seconds))
	return g
}
