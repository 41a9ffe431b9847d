// Package netspace runs tests in a network of their own, with loopback and nothing else.
package netspace

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// variable is set in the process that runs in such a network.
const variable = "C10M_TEST_NETSPACE"

// Inside reports whether this process is in a network that Again made.
func Inside() bool { return os.Getenv(variable) != "" }

// Again runs the calling test once more, as the only one of a process in a network of its
// own, and returns false here and true there. environ is added to the environment there.
// The test is skipped where the kernel allows no such network, not even with a user
// namespace, and where it skips itself there.
func Again(t *testing.T, within time.Duration, environ ...string) bool {
	t.Helper()
	if Inside() {
		raiseLoopback(t)
		return true
	}
	said, err := again(t, within, os.Getuid() != 0, environ)
	if os.Getuid() == 0 && errors.Is(err, fs.ErrPermission) {
		said, err = again(t, within, true, environ) // root, of a container
	}
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EINVAL):
		t.Skipf("no network can be made here: %v", err)
	case bytes.Contains(said, []byte("--- SKIP: "+t.Name())):
		t.Skipf("in a network of its own: %s", said)
	case err != nil || !bytes.Contains(said, []byte("--- PASS: "+t.Name())):
		t.Fatalf("in a network of its own: %v\n%s", err, said)
	}
	t.Logf("%s", said)
	return false
}

// again starts the process. A user namespace gives the rights over a network to whoever
// is not root.
func again(t *testing.T, within time.Duration, withUsers bool, environ []string) (said []byte, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	command.Env = append(append(os.Environ(), variable+"=1"), environ...)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if withUsers {
		command.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return command.CombinedOutput()
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
		t.Fatalf("the loopback device: %v", err)
	}
}
