package main

import (
	"os"
	"sync/atomic"

	"c10m/conn"
	"c10m/internal/cli"
	"c10m/internal/signals"
	"c10m/poller/epoll"

	"go.uber.org/zap"
)

// stopped reports whether a signal came that ends the server before it has begun.
func stopped(log *zap.Logger) bool {
	select {
	case signal := <-signals.End:
		log.Info("ended before it served", zap.Stringer("signal", signal))
		return true
	default:
		return false
	}
}

// drainOnSignal waits for the signal that ends the server, and closes its connections
// over --drain.
func (f *serveFlags) drainOnSignal(sockets *epoll.Sockets, h *handlers, draining *atomic.Bool, log *zap.Logger) {
	log.Info("draining: closing connections; a second signal ends the server now",
		zap.Stringer("signal", <-signals.End), zap.Int64("connections", h.shared.Open()), zap.Duration("over", f.Drain))
	draining.Store(true)
	go func() {
		<-signals.End
		os.Exit(cli.ExitNo)
	}()
	handover := min(epoll.HandoverGrace, f.Drain/2)
	sockets.StopAccepting(handover)
	conn.Drain(h.servers, f.Drain-handover)
}
