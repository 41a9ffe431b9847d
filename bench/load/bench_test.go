package load

import (
	"testing"

	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/poller/epoll/epolltest"
)

// benchHandler is a loop's handler with open connections over a kernel in
// memory.
func benchHandler(t testing.TB, connections int) (h *handler, fds []uint32) {
	t.Helper()
	kernel := epolltest.New(1)
	config := &Config{Dialect: dialects[0], Publishes: true, Spread: Spread{Connections: connections}}
	var engine *epoll.Engine
	loop, err := epoll.NewLoop(epoll.Config{Kernel: kernel, DescriptorsMax: connections + 100}, kernel.Eventfd(), func(l *poller.Loop) poller.Handler {
		engine = l.Engine().(*epoll.Engine)
		h = newHandler(l, sockets{engine, l, &config.Spread}, config, newDialer(0, connections, connections), newRequester(config.Dialect, "news", ""), &ledger{})
		return h
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loop.Shut)
	h.dialer.next = h.dialer.last // all are made below
	kernel.DescriptorsMax = connections + 100
	listener, _ := kernel.Listen(poller.Address{}, epoll.ListenOptions{})
	for i := range connections {
		kernel.Dial()
		accepted, errno := kernel.Accept(listener)
		if errno != 0 {
			t.Fatal(errno)
		}
		fd := uint32(accepted)
		if errno := engine.Adopt(fd); errno != 0 {
			t.Fatal(errno)
		}
		h.dialer.free = h.dialer.free[1:]
		h.connection(fd).number, h.connection(fd).slot = uint32(i), uint16(i)
		h.opened(fd)
		fds = append(fds, fd)
	}
	return h, fds
}

// What the client does for one delivery of one frame of 256 bytes, without the
// kernel.
func BenchmarkDelivery(b *testing.B) {
	h, fds := benchHandler(b, 1000)
	var frame []byte
	sequence, at := uint64(0), len(fds)
	b.ReportAllocs()
	for b.Loop() {
		if at == len(fds) {
			sequence, at = sequence+1, 0
			frame = AppendStampedFrame(frame[:0], sequence, Nanos(), 256)
		}
		h.received(fds[at], frame)
		at++
	}
	if s := h.report(false); s.Stamped != uint64(b.N) || s.Fault() != "" {
		b.Fatalf("%d of %d messages; %s", s.Stamped, b.N, s.Fault())
	}
}

// The same with eight messages in one read, as with eight under way.
func BenchmarkDeliveriesOfEight(b *testing.B) {
	h, fds := benchHandler(b, 1000)
	var frames []byte
	sequence, at := uint64(0), len(fds)
	b.ReportAllocs()
	for range b.N {
		if at == len(fds) {
			at, frames = 0, frames[:0]
			for range 8 {
				sequence++
				frames = AppendStampedFrame(frames, sequence, Nanos(), 256)
			}
		}
		h.received(fds[at], frames)
		at++
	}
	if s := h.report(false); s.Stamped != 8*uint64(b.N) || s.Fault() != "" {
		b.Fatalf("%d of %d messages; %s", s.Stamped, 8*b.N, s.Fault())
	}
}
