package epoll_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"

	"c10m/internal/patience"
	"c10m/poller"
	"c10m/poller/epoll"

	"golang.org/x/sys/unix"
)

// nobody is a handler whose loop has no connections but guests.
type nobody struct{ t *testing.T }

func (h nobody) Open(uint32, poller.Tag)    { h.t.Error("the handler hears of a guest") }
func (h nobody) Event(uint32, poller.Event) { h.t.Error("the handler hears of a guest") }
func (h nobody) Closed(uint32)              { h.t.Error("the handler hears of a guest") }
func (h nobody) Letter(any)                 {}
func (h nobody) Full() bool                 { return false }
func (h nobody) Work() bool                 { return false }
func (h nobody) Tick() int64                { return 1 << 62 }

// An echoGuest says what it hears, and leaves when it hears "bye" or nothing more.
type echoGuest struct {
	lent, returned chan struct{}
	once           sync.Once
}

func newEchoGuest() *echoGuest {
	return &echoGuest{lent: make(chan struct{}), returned: make(chan struct{})}
}

func (e *echoGuest) Lent(l *poller.Loop, number uint32) {
	l.Send(number, poller.Words([]byte("hello\n")))
	close(e.lent)
}

func (e *echoGuest) Readable(l *poller.Loop, number uint32) {
	var room [64]byte
	n, status := l.Recv(number, room[:])
	if status == poller.Full {
		return
	}
	if n == 0 || string(room[:n]) == "bye\n" {
		l.Return(number)
		return
	}
	l.Send(number, poller.Words(room[:n]))
}

func (e *echoGuest) Returned() { e.once.Do(func() { close(e.returned) }) }

// pair is a connection: the client's end, and the descriptor of the other.
func pair(t *testing.T) (net.Conn, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fds[0]), "")
	defer file.Close()
	client, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	client.SetDeadline(patience.Deadline())
	t.Cleanup(func() { client.Close() })
	return client, fds[1]
}

// A connection is lent to a loop, speaks there, and goes back: since it wants to, since it is
// recalled, and since the loop ends. It is open all the time, and no connection of the loop.
func TestGuests(t *testing.T) {
	p := poller.New(poller.Config{Loops: 1, NewHandler: func(*poller.Loop) poller.Handler { return nobody{t} }})
	if _, err := epoll.Start(p, epoll.Config{Loops: 1, DescriptorsMax: 1 << 16}); err != nil {
		t.Fatal(err)
	}
	l := p.Loops()[0]
	ways := map[string]func(client net.Conn, fd int, e *echoGuest){
		"it leaves":      func(client net.Conn, _ int, _ *echoGuest) { fmt.Fprintln(client, "bye") },
		"it is recalled": func(_ net.Conn, fd int, e *echoGuest) { l.Recall(uint32(fd), e) },
		"the loop ends":  func(net.Conn, int, *echoGuest) { p.Stop() },
	}
	for _, name := range []string{"it leaves", "it is recalled", "the loop ends"} {
		client, fd := pair(t)
		e, lines := newEchoGuest(), bufio.NewReader(client)
		hear := func(want string) {
			t.Helper()
			if got, err := lines.ReadString('\n'); got != want+"\n" {
				t.Fatalf("%s: heard %q, want %q: %v", name, got, want, err)
			}
		}
		l.Recall(uint32(fd), e) // of one that is not there
		l.Lend(uint32(fd), e)
		hear("hello")
		for n := range 100 {
			fmt.Fprintln(client, n)
			hear(fmt.Sprint(n))
		}
		if n := l.Stats().Connections.Load(); n != 0 {
			t.Errorf("%s: a guest is %d connections", name, n)
		}
		ways[name](client, fd, e)
		patience.Eventually(t, name+": it is back", func() bool {
			select {
			case <-e.returned:
				return true
			default:
				return false
			}
		})
		// It is its owner's again, and the loop does not hear of it.
		fmt.Fprintln(client, "more")
		if _, err := unix.Write(fd, []byte("from its owner\n")); err != nil {
			t.Fatalf("%s: it came back closed: %v", name, err)
		}
		hear("from its owner")
		unix.Close(fd)
	}
}

// A descriptor that no epoll takes is returned at once.
func TestGuestsThatCannotBeWatched(t *testing.T) {
	p := poller.New(poller.Config{Loops: 1, NewHandler: func(*poller.Loop) poller.Handler { return nobody{t} }})
	if _, err := epoll.Start(p, epoll.Config{Loops: 1, DescriptorsMax: 1 << 16}); err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 2 { // the number is as good as new after the first
		e := newEchoGuest()
		p.Loops()[0].Lend(uint32(file.Fd()), e)
		<-e.returned
		select {
		case <-e.lent:
			t.Error("it was lent")
		default:
		}
	}
}
