package epoll_test

import (
	"net"
	"os"
	"testing"
	"time"

	"c10m/internal/netspace"
	"c10m/internal/patience"
	"c10m/poller"
	"c10m/poller/epoll"
)

// With net.ipv4.tcp_migrate_req=1 the kernel gives a handshake that its listener has
// not ended to another listener of the port: whoever asks later than HandoverGrace
// is served by the new process. The setting is a network's, so this is one of its own.
func TestLateRequestsComeToTheNewListeners(t *testing.T) {
	if !netspace.Again(t, patience.Guard) {
		return
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_migrate_req", []byte("1"), 0); err != nil {
		t.Skip(err)
	}

	kernel := &heldKernel{}
	kernel.clock.Store(int64(time.Hour))
	address := freeAddress(t, "127.0.0.1")
	const late = 20
	var old, young []*echo
	config := epoll.Config{Loops: 2}
	oldPoller := startEchoes(t, config, address, kernel, &old)
	var waiting []net.Conn
	for range late {
		waiting = append(waiting, halfway(t, address))
	}
	startEchoes(t, config, address, nil, &young)
	done := make(chan struct{})
	go func() { oldPoller.StopAccepting(epoll.HandoverGrace); close(done) }()
	eventually(t, "the old listeners take nobody new", func() bool { return kernel.diverted.Load() == 2 })
	kernel.clock.Add(int64(epoll.HandoverGrace))
	for _, l := range oldPoller.Loops() {
		l.Run(func(*poller.Loop) {})
	}
	select {
	case <-done:
	case <-time.After(patience.Guard):
		t.Fatal("the old listeners are not closed")
	}
	for _, c := range waiting {
		echoes(t, c)
	}
	if o, y := opened(old), opened(young); o != 0 || y != late {
		t.Errorf("of %d late requests %d came to the old listeners and %d to the new", late, o, y)
	}
}
