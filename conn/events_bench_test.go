package conn

import (
	"bytes"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"c10m/conn/wire"
	"c10m/internal/patience"

	"golang.org/x/sys/unix"
)

// A drainedPort is the far end of many connections: one thread that throws away
// what comes and counts it.
type drainedPort struct {
	tb    testing.TB
	epoll int
	bytes chan int // read since the last
}

func newDrainedPort(tb testing.TB) *drainedPort {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		tb.Fatal(err)
	}
	d := &drainedPort{tb: tb, epoll: epoll, bytes: make(chan int, 1<<16)}
	go d.run()
	return d
}

// add hands a connection over, whose buffered bytes must have been read.
func (d *drainedPort) add(c *rawClient) {
	d.tb.Helper()
	raw, err := c.TCPConn.SyscallConn()
	if err != nil {
		d.tb.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	})
	if err != nil {
		d.tb.Fatal(err)
	}
}

func (d *drainedPort) run() {
	var events [256]unix.EpollEvent
	for {
		n, err := unix.EpollWait(d.epoll, events[:], -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		bytes := 0
		for _, e := range events[:n] {
			// With MSG_TRUNC TCP drops what it would else copy.
			r, _, errno := syscall.Syscall6(unix.SYS_RECVFROM, uintptr(e.Fd), 0, 1<<20, unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
			if errno == 0 {
				bytes += int(r)
			}
		}
		if bytes > 0 {
			d.bytes <- bytes
		}
	}
}

// await waits for so many bytes.
func (d *drainedPort) await(bytes int) {
	for bytes > 0 {
		select {
		case n := <-d.bytes:
			bytes -= n
		case <-time.After(patience.Guard):
			d.tb.Fatalf("%d bytes are missing", bytes)
		}
	}
}

// Deliveries as events beside deliveries as frames, round by round in one run: the
// figure to look at is events/websocket, the median of the rounds' ratios of deliveries a
// second of one to those of the other. The far ends are in the figures.
func BenchmarkEventsBesideWebSockets(b *testing.B) {
	for _, inFlight := range []int{1, 8} {
		b.Run(fmt.Sprintf("in-flight=%d", inFlight), func(b *testing.B) {
			const members = 1000
			config := testConfig()
			config.PingInterval = 0
			s := startServer(b, 1, config)
			far := newDrainedPort(b)
			for range members {
				far.add(s.upgrade(b, "/websockets"))
				far.add(s.events(b, "/events").rawClient)
			}
			payload := bytes.Repeat([]byte("x"), 256)
			round := func(name string, size func(id string) int) time.Duration {
				began, bytes := time.Now(), 0
				for range inFlight {
					receipt, err := s.hub.Publish([]byte(name), payload)
					if err != nil {
						b.Fatal(err)
					}
					bytes += members * size(receipt.ID())
				}
				far.await(bytes)
				return time.Since(began)
			}
			frameSize := func(string) int { return len(wire.FrameAuto.Frame(payload)) }
			eventSize := func(id string) int { return wire.EventBytes([]byte(id), payload) }
			var sockets, events time.Duration
			var ratios []float64
			b.ResetTimer()
			for i := range b.N {
				var s, e time.Duration
				if i%2 == 0 { // neither is always the one that comes second
					s = round("websockets", frameSize)
					e = round("events", eventSize)
				} else {
					e = round("events", eventSize)
					s = round("websockets", frameSize)
				}
				sockets, events = sockets+s, events+e
				ratios = append(ratios, s.Seconds()/e.Seconds())
			}
			slices.Sort(ratios)
			perSecond := func(d time.Duration) float64 { return float64(b.N*inFlight*members) / d.Seconds() }
			b.ReportMetric(perSecond(sockets), "websocket-deliveries/s")
			b.ReportMetric(perSecond(events), "event-deliveries/s")
			b.ReportMetric(ratios[len(ratios)/2], "events/websocket")
		})
	}
}
