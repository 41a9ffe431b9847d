package poller_test

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/poller"

	"golang.org/x/sys/unix"
)

// With net.ipv4.tcp_migrate_req=1 the kernel gives a handshake that its listener has
// not ended to another listener of the port: whoever asks later than HandoverGrace
// is served by the new process. The setting is a network's, so this is one of its own.
func TestLateRequestsComeToTheNewListeners(t *testing.T) {
	const variable = "C10M_TEST_NETWORK"
	if os.Getenv(variable) == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = append(os.Environ(), variable+"=1")
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		said, err := again.CombinedOutput()
		switch {
		case len(said) == 0 && err != nil:
			t.Skipf("no network namespace can be made here: %v", err)
		case bytes.Contains(said, []byte("--- SKIP: ")):
			t.Skipf("in the namespace: %s", said)
		case err != nil || !bytes.Contains(said, []byte("--- PASS: ")):
			t.Fatalf("%v\n%s", err, said)
		}
		return
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_migrate_req", []byte("1"), 0); err != nil {
		t.Skip(err)
	}
	raiseLoopback(t)

	kernel := &heldKernel{}
	kernel.clock.Store(int64(time.Hour))
	address := freeAddress(t, "127.0.0.1")
	start := func(kernel poller.Kernel, handlers *[]*echo) *poller.Poller {
		p, err := poller.Start(poller.Config{Loops: 2, DescriptorsMax: 1 << 16, Kernel: kernel,
			Listen: []poller.Address{netip.MustParseAddrPort(address)}, Options: poller.ListenOptions{DeferAccept: true},
			NewHandler: func(l *poller.Loop) poller.Handler {
				e := &echo{loop: l}
				*handlers = append(*handlers, e)
				return e
			}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Stop)
		return p
	}
	const late = 20
	var old, young []*echo
	oldPoller := start(kernel, &old)
	var waiting []net.Conn
	for range late {
		waiting = append(waiting, halfway(t, address))
	}
	start(nil, &young)
	done := make(chan struct{})
	go func() { oldPoller.StopAccepting(poller.HandoverGrace); close(done) }()
	eventually(t, "the old listeners take nobody new", func() bool { return kernel.diverted.Load() == 2 })
	kernel.clock.Add(int64(poller.HandoverGrace))
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

// raiseLoopback brings up the one device that a new network has.
func raiseLoopback(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Skipf("the loopback device: %v", err)
	}
}
