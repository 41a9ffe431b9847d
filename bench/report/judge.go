package report

import (
	"fmt"

	"c10m/bench/plot"
)

// Judge sets r.Bottlenecks: a sentence for each way in which something else
// than the server was the limit. It may be called again when r has changed.
func Judge(r *Result) {
	r.Bottlenecks = nil
	note := func(format string, args ...any) {
		r.Bottlenecks = append(r.Bottlenecks, fmt.Sprintf(format, args...))
	}
	judgeShortages(r, note)
	judgeCores(r, note)
	for i := range r.Streams {
		judgePublisher(&r.Streams[i], note)
		judgeReadDelay(r, &r.Streams[i], note)
	}
}

// judgeShortages is about connects that failed for want of something on the
// client's side, as package load names them.
func judgeShortages(r *Result, note func(string, ...any)) {
	if n := r.Connections.Failures["no free source port"]; n > 0 {
		note("The client had no free source port for %s: give it more addresses with --source, or the server more ports.",
			plural(n, "connect"))
	}
	if n := r.Connections.Failures["no descriptor or memory"]; n > 0 {
		note("The client had no descriptor or memory for %s: raise the limits of its host, or ask for fewer connections.",
			plural(n, "connect"))
	}
}

func judgeCores(r *Result, note func(string, ...any)) {
	u, had := &r.Usage, clientCoresHad(r)
	if had > 0 && u.ClientCores >= clientCoresShareMax*had {
		note("The client itself was the limit: it used %s of the %s cores it had, so the server may be faster and its latencies shorter than these.",
			Number(u.ClientCores), Number(had))
	}
	cores := float64(r.Host.Cores)
	if cores <= 0 || u.HostCores < hostCoresShareMax*cores {
		return
	}
	if u.ServerCores <= 0 {
		note("The host was full: %s of %s cores were used, %s of them by the client. Who used the rest is not known (--server-pid), so the rates are of everything on this host, not of the server.",
			Number(u.HostCores), Number(cores), Number(u.ClientCores))
		return
	}
	others := max(u.HostCores-u.ClientCores-u.ServerCores, 0)
	note("The host was full: %s of %s cores were used, %s by the client, %s by the server and %s by everything else, so the rates are of the pair on one host, not of the server.",
		Number(u.HostCores), Number(cores), Number(u.ClientCores), Number(u.ServerCores), Number(others))
}

// clientCoresHad is what the client's loops could use: one core each, and no
// more than there are.
func clientCoresHad(r *Result) float64 {
	if r.Host.Loops > 0 {
		return float64(min(r.Host.Loops, r.Host.Cores))
	}
	return float64(r.Host.Cores)
}

func judgePublisher(s *Stream, note func(string, ...any)) {
	if float64(s.Late) > latePublishShareMax*float64(s.Published) {
		note("The publisher was late for %s of %s messages of %s (%s %%): the rate asked for was not kept. Latencies count from when a message was due, so they contain the wait.",
			Count(s.Late), Count(s.Published), s.Name, Number(100*float64(s.Late)/float64(max(s.Published, 1))))
	}
}

func judgeReadDelay(r *Result, s *Stream, note func(string, ...any)) {
	delay, p99 := r.Usage.ReadDelayP99Mill, s.Latency.P99Millis
	if p99 > 0 && delay >= readDelayShareMax*p99 {
		note("Up to %s of the %s that are the p99 of %s may be the client's own: so long did a message wait in it to be read.",
			plot.Text(plot.Millis, delay), plot.Text(plot.Millis, p99), s.Name)
	}
}
