package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A child is a process that ends with this one, whatever happens.
type child struct {
	// Fixed after construction.
	process *os.Process
	output  *tail
	ended   chan struct{} // closed when the process is gone
}

// startChild runs a program. It is killed by stop, and by the kernel if this
// process dies without stopping it.
func startChild(command *exec.Cmd) (*child, error) {
	c := &child{output: &tail{}, ended: make(chan struct{})}
	if command.Stdout == nil {
		command.Stdout = c.output
	}
	command.Stderr = c.output
	// PDEATHSIG is sent when the thread ends that made the child, not the
	// process: the thread stays with this goroutine until the child is gone.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		if err == nil {
			c.process = command.Process
		}
		started <- err
		if err == nil {
			command.Wait()
		}
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", command.Path, err)
	}
	return c, nil
}

// stop kills the child and waits until it is gone.
func (c *child) stop() {
	select {
	case <-c.ended:
		return
	default:
	}
	c.process.Kill()
	<-c.ended
}

// died returns an error with the child's last words if it is gone.
func (c *child) died() error {
	select {
	case <-c.ended:
		return fmt.Errorf("the process ended: %s", strings.TrimSpace(c.output.String()))
	default:
		return nil
	}
}

// cpu is the processor time that the child has had, in seconds.
func (c *child) cpu() (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.process.Pid))
	if err != nil {
		return 0, errors.Join(err, c.died())
	}
	return parseStat(string(stat))
}

// parseStat adds utime and stime, fields 14 and 15 of proc_pid_stat(5). The
// second field is a name that may hold anything, so counting begins behind it.
func parseStat(stat string) (float64, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("unexpected /proc/PID/stat: %q", stat)
	}
	user, err := strconv.ParseUint(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseUint(fields[12], 10, 64)
	return float64(user+system) / clockTicksPerSecond, err
}

// ownCPU is the processor time of this process, in seconds.
func ownCPU() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// busyCPU is the processor time that the whole host has used, in seconds.
func busyCPU() float64 {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	return parseBusy(string(stat))
}

// parseBusy adds the first line of proc_stat(5) without idle and iowait; guest
// time is in user time already.
func parseBusy(stat string) float64 {
	line, _, _ := strings.Cut(stat, "\n")
	ticks := uint64(0)
	for i, field := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return float64(ticks) / clockTicksPerSecond
}

// A tail keeps the end of what is written to it.
type tail struct {
	// Guarded by mu.
	mu    sync.Mutex
	bytes []byte
}

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, p...)
	if over := len(t.bytes) - outputBytesMax; over > 0 {
		t.bytes = append(t.bytes[:0], t.bytes[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.bytes)
}
