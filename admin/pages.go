package admin

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/pprof"
	"os"
	"strconv"
	"strings"
	"time"

	"c10m/bus"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A page is one path of the server. One without words for the index is part of
// the page before it.
type page struct {
	path  string
	about string
	serve http.Handler
}

func (s *Server) pages(registry *prometheus.Registry, errorLog *log.Logger) []page {
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: errorLog,
		// One broken metric must not blind the operator to all others.
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            registry,
		MaxRequestsInFlight: scrapesMax,
		// Over loopback, compression only costs time on the loops' cores.
		DisableCompression: true,
	})
	return []page{
		{"/metrics", "all counters, for Prometheus", metrics},
		{"/healthz", "200 while published messages reach this server, else 503 with the reason", http.HandlerFunc(s.healthz)},
		{"/readyz", "200 while new connections should be sent here, else 503 with the reason", http.HandlerFunc(s.readyz)},
		{"/livez", "200 while all loops make turns, else 503 with those that do not", http.HandlerFunc(s.livez)},
		{"/debug/pprof/", "profiles of this process, for go tool pprof", bounded(pprof.Index)},
		{"/debug/pprof/profile", "", bounded(pprof.Profile)},
		{"/debug/pprof/trace", "", bounded(pprof.Trace)},
		{"/debug/pprof/symbol", "", http.HandlerFunc(pprof.Symbol)},
		{"/debug/pprof/cmdline", "", http.HandlerFunc(cmdline)},
	}
}

func (s *Server) handler(registry *prometheus.Registry, errorLog *log.Logger) http.Handler {
	mux := http.NewServeMux()
	var index strings.Builder
	fmt.Fprintf(&index, "10m-server %s\n\n", s.sources.Version)
	for _, p := range s.pages(registry, errorLog) {
		mux.Handle(p.path, p.serve)
		if p.about != "" {
			fmt.Fprintf(&index, "%-14s %s\n", p.path, p.about)
		}
	}
	fmt.Fprintf(&index, "%-14s %s\n", "/operator/", "the operator's page, for a browser: numbers with plots, channels, slow consumers, disconnecting")
	index.WriteString(publishAbout)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusOK, index.String())
	})
	return s.ways(readOnly(mux))
}

// readOnly keeps other methods from every page: nothing here can be changed.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			say(w, http.StatusMethodNotAllowed, "Only GET and HEAD are understood.\n")
			return
		}
		// A proxy that remembers yesterday's health is worse than none.
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// say answers with plain text. An error means that the peer is gone.
func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// healthz is about the way from a publisher to this server. The process is
// alive either way: it answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if health := s.sources.Bus.Health(); !health.Up {
		say(w, http.StatusServiceUnavailable, trouble(health))
		return
	}
	say(w, http.StatusOK, "ok\n")
}

// readyz is for who chooses a server for a new connection.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.sources.Draining() {
		say(w, http.StatusServiceUnavailable, "draining: the server closes its connections and will exit\n")
		return
	}
	if s.sources.Memory != nil {
		if reason := s.sources.Memory.Reason(); reason != "" {
			say(w, http.StatusServiceUnavailable, reason+"\n")
			return
		}
	}
	s.healthz(w, r)
}

// livez is for who restarts a process that hangs: every loop has to make a turn.
func (s *Server) livez(w http.ResponseWriter, r *http.Request) {
	silent := s.silent.get(r.Context(), "", func() (*[]int, time.Duration) {
		var loops []int
		for range liveSecondsMax { // a process that was frozen loses one of these seconds
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			loops = s.sources.Operator.Silent(ctx)
			cancel()
			if len(loops) == 0 {
				break
			}
		}
		return &loops, liveGoodSeconds * time.Second
	})
	if silent == nil { // the client has gone
		return
	}
	if len(*silent) > 0 {
		say(w, http.StatusServiceUnavailable, fmt.Sprintf("loops that made no turn in %d s: %v\n", liveSecondsMax, *silent))
		return
	}
	say(w, http.StatusOK, "ok\n")
}

// trouble says in words what is wrong with the bus, and from when on messages
// may be missing.
func trouble(health bus.Health) string {
	var text strings.Builder
	reason := health.Reason
	if reason == "" {
		reason = "no reason is known"
	}
	fmt.Fprintf(&text, "the bus is down since %s: %s\n", clock(health.Since), reason)
	if !health.GapFrom.IsZero() && health.GapTo.IsZero() {
		fmt.Fprintf(&text, "messages published since %s may be lost\n", clock(health.GapFrom))
	}
	return text.String()
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func bounded(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What is no number is for net/http/pprof to refuse or replace.
		// "Not at most", because of NaN.
		if seconds, err := strconv.ParseFloat(r.FormValue("seconds"), 64); err == nil && !(seconds <= profileSecondsMax) {
			say(w, http.StatusBadRequest, fmt.Sprintf("A profile takes at most %d seconds.\n", profileSecondsMax))
			return
		}
		next(w, r)
	})
}

// cmdline tells the program's name only, where net/http/pprof tells all
// arguments: the bus's password may be one of them.
func cmdline(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, os.Args[0]) }
