package child

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/internal/patience"
)

// gone reports whether no such process is left, zombies not counted.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := patience.Deadline(); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A shell that starts another process: both are gone after Stop, whether the
// shell passes the word on, ignores it, or has ended before.
func TestStopEndsAll(t *testing.T) {
	for _, c := range []struct {
		name, script string
		ending       Ending
	}{
		{"killed", "sleep 1000 & echo $! >$0; wait", Kill},
		{"asked", "trap 'exit 0' TERM; sleep 1000 & echo $! >$0; wait", Ask},
		{"ended before", "sleep 1000 & echo $! >$0", Ask},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			command := exec.Command("/bin/sh", "-c", c.script, file)
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			command.Stdout = null // a pipe would keep Wait until the grandchild ends
			child, err := Start(command, c.ending)
			if err != nil {
				t.Fatal(err)
			}
			grandchild := 0
			eventually(t, "the grandchild", func() bool {
				text, _ := os.ReadFile(file)
				grandchild, _ = strconv.Atoi(strings.TrimSpace(string(text)))
				return grandchild > 0
			})
			child.Stop()
			child.Stop() // of one that is gone
			if child.Died() == nil || !gone(child.PID) {
				t.Error("the child lives")
			}
			eventually(t, "the end of the grandchild", func() bool { return gone(grandchild) })
		})
	}
}

func TestDied(t *testing.T) {
	if _, err := Start(exec.Command("/nowhere/server"), Kill); err == nil || !strings.Contains(err.Error(), "/nowhere/server") {
		t.Errorf("no program: %v", err)
	}
	child, err := Start(exec.Command("/bin/sh", "-c", "echo it cannot >&2; exit 3"), Kill)
	if err != nil {
		t.Fatal(err)
	}
	<-child.Ended()
	if err := child.Died(); err == nil || !strings.Contains(err.Error(), "it cannot") {
		t.Errorf("last words: %v", err)
	}
	if err := child.AwaitListener(t.Context(), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "it cannot") {
		t.Errorf("waiting for one that died: %v", err)
	}
}

func TestAwaitListener(t *testing.T) {
	ports, err := FreePorts(3)
	if err != nil || len(ports) != 3 || ports[0] == ports[1] || ports[1] == ports[2] {
		t.Fatalf("%v, %v", ports, err)
	}
	child, err := Start(exec.Command("/bin/sleep", "1000"), Kill)
	if err != nil {
		t.Fatal(err)
	}
	defer child.Stop()
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	if err := child.AwaitListener(ctx, address); err == nil {
		t.Error("nobody listens, and that is no error")
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := child.AwaitListener(t.Context(), address); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(child.PID, 0); err != nil || child.Died() != nil {
		t.Error("the child is said to be gone")
	}
}

func TestTail(t *testing.T) {
	words := &tail{}
	for range 3 * outputBytesMax / 10 {
		words.Write([]byte("0123456789"))
	}
	words.Write([]byte("the end"))
	if s := words.String(); len(s) != outputBytesMax || !strings.HasSuffix(s, "the end") {
		t.Errorf("%d bytes that end with %q", len(s), s[len(s)-10:])
	}
}
