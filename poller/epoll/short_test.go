package epoll_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/poller/epoll/epolltest"
	"c10m/poller/pollertest"

	"golang.org/x/sys/unix"
)

// shortKernel is a kernel without memory for one of its calls.
type shortKernel struct {
	*epolltest.Kernel
	accept, add, send syscall.Errno // what these calls say; 0: what they say anyway
	sends, watches    int           // tries
}

func (k *shortKernel) Accept(listener int) (int, syscall.Errno) {
	if k.accept != 0 {
		return -1, k.accept
	}
	return k.Kernel.Accept(listener)
}

func (k *shortKernel) EpollCtl(epfd, op, fd int, event *unix.EpollEvent) syscall.Errno {
	if op == unix.EPOLL_CTL_ADD && k.add != 0 {
		k.watches++
		return k.add
	}
	return k.Kernel.EpollCtl(epfd, op, fd, event)
}

func (k *shortKernel) Send(fd int, p []byte) (int, syscall.Errno) {
	k.sends++
	if k.send != 0 {
		return 0, k.send
	}
	return k.Kernel.Send(fd, p)
}

func (k *shortKernel) Sendv(fd int, iov []unix.Iovec) (int, syscall.Errno) {
	k.sends++
	if k.send != 0 {
		return 0, k.send
	}
	return k.Kernel.Sendv(fd, iov)
}

func newShortLoop(t *testing.T) (*shortKernel, *poller.Loop, *recorder) {
	t.Helper()
	k := &shortKernel{Kernel: epolltest.New(30)}
	r := &recorder{}
	l, err := epoll.NewLoop(epoll.Config{
		DescriptorsMax: 1 << 10, Listen: make([]epoll.Listener, 1), Kernel: k,
	}, k.Eventfd(), func(l *poller.Loop) poller.Handler { r.loop = l; return r })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Shut)
	return k, l, r
}

// Whatever accept says that is not about one connection pauses the listeners:
// ten tries a second, nobody is lost, and it goes on by itself.
func TestEveryShortageOfAcceptPausesAndRecovers(t *testing.T) {
	for _, errno := range []syscall.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC, unix.EINVAL} {
		t.Run(errno.Error(), func(t *testing.T) {
			k, l, r := newShortLoop(t)
			old := k.Dial()
			turns(l, 2)
			k.accept = errno
			for range 5 {
				k.Dial()
			}
			if n := runFor(k.Kernel, l, 10*time.Second); n > 250 {
				t.Errorf("%d turns in 10 s with nothing to do", n)
			}
			pauses := l.Stats().AcceptPauses.Load() + l.Stats().AcceptUnexpected.Load()
			if pauses < 90 || pauses > 101 || l.Connections() != 1 {
				t.Errorf("%d pauses, %d connections", pauses, l.Connections())
			}
			r.take()
			old.Write([]byte("x"))
			l.Turn()
			if got := r.take(); got != "[event 7 1]" {
				t.Errorf("who is here: %s", got)
			}
			k.accept = 0
			if runFor(k.Kernel, l, time.Second); l.Connections() != 6 {
				t.Errorf("%d connections after it", l.Connections())
			}
		})
	}
}

// No memory to watch a newcomer, and none to take the listeners back after the
// pause: both are tried again by the tick.
func TestEpollWithoutMemoryPausesAndRecovers(t *testing.T) {
	k, l, _ := newShortLoop(t)
	k.add = unix.ENOMEM
	refused := k.Dial()
	for range 3 {
		k.Dial()
	}
	if n := runFor(k.Kernel, l, 5*time.Second); n > 150 {
		t.Errorf("%d turns in 5 s with nothing to do", n)
	}
	if !refused.Gone() || l.Connections() != 0 || l.Stats().AcceptRefused.Load() != 1 || l.Stats().AcceptPauses.Load() != 1 {
		t.Errorf("gone %v, %d connections, %d refused, %d pauses", refused.Gone(), l.Connections(),
			l.Stats().AcceptRefused.Load(), l.Stats().AcceptPauses.Load())
	}
	if k.watches < 40 || k.watches > 60 {
		t.Errorf("the listeners were tried %d times in 5 s", k.watches)
	}
	k.add = 0
	if runFor(k.Kernel, l, time.Second); l.Connections() != 3 {
		t.Errorf("%d connections after it", l.Connections())
	}
}

// A socket that epoll calls writable and that takes nothing is tried again by
// the tick, and not at once and for ever.
func TestASocketThatTakesNothingIsTriedAgainByTheTick(t *testing.T) {
	for _, errno := range []syscall.Errno{unix.ENOBUFS, unix.ENOMEM, unix.EAGAIN} {
		t.Run(errno.Error(), func(t *testing.T) {
			k, l, r := newShortLoop(t)
			peer := k.Dial()
			turns(l, 2)
			r.take()
			written := 0
			r.onEvent = func(fd uint32, event poller.Event) {
				if event&poller.Writable != 0 {
					if n, errno := l.Send(fd, poller.Words([]byte("hello"))); errno == 0 {
						written = n
						l.ArmWrite(fd, false)
					}
				}
			}
			k.send = errno
			l.ArmWrite(7, true)
			if n := runFor(k.Kernel, l, 5*time.Second); n > 250 || k.sends < 80 || k.sends > 101 {
				t.Errorf("%d turns and %d tries in 5 s", n, k.sends)
			}
			if got := l.Stats().WriteStalls.Load(); got != uint64(k.sends) {
				t.Errorf("%d stalls counted, %d tries", got, k.sends)
			}
			// What it says meanwhile is heard.
			r.take()
			peer.Write([]byte("x"))
			l.Turn()
			if got := r.take(); got != "[event 7 1]" && got != "[event 7 3]" {
				t.Errorf("while it takes nothing: %s", got)
			}
			k.send = 0
			if runFor(k.Kernel, l, 200*time.Millisecond); written != 5 || string(peer.Read(-1)) != "hello" {
				t.Errorf("%d bytes written after it", written)
			}
			k.sends = 0
			if runFor(k.Kernel, l, 2*time.Second); k.sends != 0 {
				t.Errorf("%d writes though nobody asked", k.sends)
			}
		})
	}
}

// Who goes while it is stalled leaves nothing to its descriptor's next owner.
func TestAStalledConnectionThatGoesLeavesNothing(t *testing.T) {
	k, l, r := newShortLoop(t)
	var peers []*pollertest.Peer
	for range 600 {
		peers = append(peers, k.Dial())
	}
	runFor(k.Kernel, l, time.Second)
	r.onEvent = func(fd uint32, event poller.Event) {
		if event&poller.Writable != 0 {
			l.Send(fd, poller.Words([]byte("x")))
		}
		if event&poller.Readable != 0 {
			l.Close(fd)
		}
	}
	k.send = unix.ENOBUFS
	for fd := range uint32(600) {
		l.ArmWrite(7+fd, true)
	}
	for l.Stats().WriteStalls.Load() < 600 {
		l.Turn()
	}
	for _, peer := range peers {
		peer.Close()
	}
	turns(l, 10)
	if l.Connections() != 0 {
		t.Fatalf("%d are still here", l.Connections())
	}
	k.send = 0
	for range 600 {
		k.Dial()
	}
	r.log = nil
	runFor(k.Kernel, l, time.Second)
	for _, line := range r.log {
		var fd, event int
		if n, _ := fmt.Sscanf(line, "event %d %d", &fd, &event); n == 2 {
			t.Fatalf("the next owner of a descriptor got %q", line)
		}
	}
}
