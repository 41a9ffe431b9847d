package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slowReaders are WebSockets that never read: each subscribes to the bulk
// channel, stays for a random time, during which the server mostly ends it, and
// comes again. Their receive buffers are as small as the kernel lets them be.
type slowReaders struct {
	// Fixed after construction.
	address string

	// Shared: atomic.
	lives  atomic.Uint64 // connections so far
	failed atomic.Uint64 // that could not be made
	why    atomic.Value  // string: the last of these
}

// run keeps n of them until ctx ends.
func (s *slowReaders) run(ctx context.Context, n int, seed uint64, longest time.Duration) {
	var group sync.WaitGroup
	for i := range n {
		random := rand.New(rand.NewPCG(seed, 1000+uint64(i)))
		group.Go(func() {
			sleep(ctx, between(random, 0, longest/4)) // not all at once
			for ctx.Err() == nil {
				s.live(ctx, between(random, longest/4, longest))
			}
		})
	}
	group.Wait()
}

func (s *slowReaders) live(ctx context.Context, d time.Duration) {
	dialer := net.Dialer{LocalAddr: &aside, Timeout: hangGuard, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBufferBytes)
		})
	}}
	conn, err := dialer.DialContext(ctx, "tcp", s.address)
	if err == nil {
		_, err = conn.Write(upgradeRequest(bulkChannel))
	}
	if err != nil {
		// The dialer may notice before the context does that the time is over.
		if end, _ := ctx.Deadline(); ctx.Err() == nil && time.Now().Before(end) {
			s.failed.Add(1)
			s.why.Store(err.Error())
			sleep(ctx, time.Second)
		}
		return
	}
	s.lives.Add(1)
	sleep(ctx, d)
	conn.Close() // a reset, if something is unread
}

// problem is the last reason, or nothing.
func (s *slowReaders) problem() string {
	why, _ := s.why.Load().(string)
	return why
}

// upgradeRequest is a valid one (RFC 6455, section 1.3).
func upgradeRequest(channel string) []byte {
	return fmt.Appendf(nil, "GET /%s HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", channel)
}
