package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/internal/servertest"

	"golang.org/x/sys/unix"
)

// A told world whose bus is the server's own: nothing is lost between the bus and the
// loops, so nobody is told of a gap but by the end of a server.

func (w *toldWorld) embeddedArgs() []string {
	return []string{"--loops", "2", "--drain", "1s", "--publish", "own", "--history", "5000"}
}

func startToldEmbedded(t *testing.T) *toldWorld {
	t.Helper()
	w := newToldWorld(t, "one", "pipelined", "transactions", "admin", "post", "pub", "own")
	t.Logf("TOLD_SEED=%d", w.seed)
	t.Cleanup(func() { w.end(); w.runs.Wait() })
	w.isEmbedded = true
	w.server = servertest.StartServer(t, 0, w.embeddedArgs()...)
	w.port, w.bus, w.adminPort = w.server.Port, w.server.Bus, w.server.Admin
	w.listen()
	for _, channel := range w.channels {
		w.goes(w.respWay(w.ear("RESP", channel)))
	}
	w.atTheDoor("one", pipelined(1))
	w.atTheDoor("pipelined", pipelined(8))
	w.atTheDoor("transactions", transaction)
	for _, publish := range []func(){w.admin, w.post, w.pub, w.own} {
		w.goes(publish)
	}
	return w
}

// again starts the server again on its ports.
func (w *toldWorld) again() {
	w.while(300)
	w.server = w.server.StartAgain(w.t, 0, w.embeddedArgs()...)
}

var drained = toldFault{"server drained", func(w *toldWorld) {
	w.allow(byDrain)
	w.mu.Lock()
	for channel, fates := range w.fates {
		for i, f := range fates {
			if f == published {
				w.whole[channel] = i + 1
			}
		}
	}
	w.mu.Unlock()
	w.server.Signal(syscall.SIGTERM)
	if status := w.server.Wait(); status != 0 {
		w.failf("the server's exit status is %d", status)
	}
	w.again()
}}

var killed = toldFault{"server killed", func(w *toldWorld) {
	w.allow(byCut)
	w.server.Signal(syscall.SIGKILL)
	w.server.Wait()
	w.again()
}}

var hung = toldFault{"server hung", func(w *toldWorld) {
	for range 2 {
		w.server.Signal(syscall.SIGSTOP)
		w.while(1000)
		w.server.Signal(syscall.SIGCONT)
		w.while(300)
	}
}}

// A loop that makes no turns while its bus goes on: nobody is told that it has a message.
var stalled = toldFault{"loops stalled", func(w *toldWorld) {
	for range 4 {
		w.stall(time.Duration(w.random.IntN(700)) * time.Millisecond)
		w.while(100)
	}
}}

// stall stops one thread of a loop for so long.
func (w *toldWorld) stall(long time.Duration) {
	w.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var thread int
	eventually(w.t, "a loop waits for events", func() bool {
		threads := w.loopThreads()
		if len(threads) > 0 {
			thread = threads[w.random.IntN(len(threads))]
		}
		return thread != 0
	})
	if err := unix.PtraceSeize(thread); err != nil {
		w.t.Logf("no thread can be stopped here (%v), so the server is", err)
		w.server.Signal(syscall.SIGSTOP)
		time.Sleep(long)
		w.server.Signal(syscall.SIGCONT)
		return
	}
	// A thread that is traced keeps its process from ending.
	defer unix.PtraceDetach(thread)
	for {
		var status unix.WaitStatus
		if err := unix.PtraceInterrupt(thread); err != nil {
			w.t.Fatal(err)
		}
		if _, err := unix.Wait4(thread, &status, unix.WALL, nil); err != nil || !status.Stopped() {
			w.t.Fatalf("thread %d of the server: %v, status %x", thread, err, status)
		}
		if status>>16 == unix.PTRACE_EVENT_STOP {
			break
		}
		// A signal of the Go runtime's, which must not lose it. It took the place of the
		// stop that was asked for.
		if err := unix.PtraceCont(thread, int(status.StopSignal())); err != nil {
			w.t.Fatal(err)
		}
	}
	time.Sleep(long)
}

// loopThreads are threads of the server that wait for events of an epoll which is not the
// Go runtime's, the first that it made. The process's first thread is left out: that it
// stopped could be told to whoever waits for the end of the process.
func (w *toldWorld) loopThreads() (threads []int) {
	process := fmt.Sprintf("/proc/%d/", w.server.PID())
	first := 1 << 30
	descriptors, _ := filepath.Glob(process + "fd/*")
	for _, path := range descriptors {
		if target, _ := os.Readlink(path); target == "anon_inode:[eventpoll]" {
			fd, _ := strconv.Atoi(filepath.Base(path))
			first = min(first, fd)
		}
	}
	tasks, _ := filepath.Glob(process + "task/*")
	for _, path := range tasks {
		line, _ := os.ReadFile(path + "/syscall")
		words := strings.Fields(string(line))
		if len(words) < 2 || words[0] != fmt.Sprint(unix.SYS_EPOLL_PWAIT) {
			continue
		}
		thread, _ := strconv.Atoi(filepath.Base(path))
		if fd, _ := strconv.ParseInt(words[1], 0, 64); int(fd) != first && thread != w.server.PID() {
			threads = append(threads, thread)
		}
	}
	return threads
}

func TestToldIsToldAtTheEmbeddedDoor(t *testing.T) {
	t.Parallel()
	w := startToldEmbedded(t)
	w.calm()
	names := w.play([]toldFault{drained, killed, hung, stalled, drained})
	w.finish("told is told, at the embedded door: " + names)
}
