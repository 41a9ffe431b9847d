package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"c10m/bench/load"
)

// A pingPace says how an acceptor pings what it has accepted.
type pingPace struct {
	Interval time.Duration // every connection gets one in it; 0: no pings at all
	// Beat is the time between two batches of a loop. All loops share the clock,
	// and so the moment.
	Beat time.Duration
	// Gather is how long after its batch a loop reads the pongs; 0: with the
	// next batch, so that it wakes once for both.
	Gather time.Duration
}

// pinged is what an acceptor that pings says when it is asked.
type pinged struct {
	Pings int64
	Pongs int64
}

// wordCount asks it. The first time it also lets the pings begin.
const wordCount = "count"

// pongBytes is a masked pong without a payload (RFC 6455 section 5.2).
const pongBytes = 6

// ping is the rest of the loop's life: a batch of pings at every beat, and the
// pongs. It accepts nobody any more, and sleeps on nothing but the clock: a
// program that also had to serve its clients would be woken by them.
func (l *acceptLoop) ping() error {
	pace := l.config.Pings
	perBeat := float64(len(l.fds)) * float64(pace.Beat) / float64(pace.Interval)
	credit, at := 0.0, 0
	// Whoever comes late does not catch up: the beat is of the clock.
	for beat := load.Nanos()/int64(pace.Beat) + 1; ; beat = max(beat, load.Nanos()/int64(pace.Beat)) + 1 {
		sleepUntil(beat * int64(pace.Beat))
		if err := l.collect(); err != nil {
			return err
		}
		for credit += perBeat; credit >= 1; credit-- {
			if err := l.pingOne(l.fds[at]); err != nil {
				return err
			}
			at = (at + 1) % len(l.fds)
		}
		if pace.Gather > 0 {
			sleepUntil(load.Nanos() + int64(pace.Gather))
			if err := l.collect(); err != nil {
				return err
			}
		}
		l.pings.Add(l.pinged.Pings)
		l.pongs.Add(l.pinged.Pongs)
		l.pinged = pinged{}
	}
}

var pingFrame = [2]byte{0x89, 0}

func (l *acceptLoop) pingOne(fd int32) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&pingFrame)),
		uintptr(len(pingFrame)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return fmt.Errorf("ping: %w", errno)
	}
	l.pinged.Pings++
	return nil
}

// collect reads what has come, and nothing more than that: a pong fits one read.
func (l *acceptLoop) collect() error {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, l.epfd, uintptr(unsafe.Pointer(&l.events)), acceptEventsMax, 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return fmt.Errorf("epoll_wait: %w", errno)
		}
		for i := range l.events[:n] {
			if l.events[i].Pad == listenerMark {
				return errors.New("a newcomer while connections are pinged")
			}
			bytes, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(l.events[i].Fd),
				uintptr(unsafe.Pointer(&l.buffer)), requestBytesMax, unix.MSG_DONTWAIT, 0, 0)
			if errno != 0 || bytes == 0 {
				return fmt.Errorf("a connection ended while it was pinged: %d bytes, %w", bytes, errno)
			}
			l.pinged.Pongs += int64(bytes) / pongBytes
		}
		if n < acceptEventsMax {
			return nil
		}
	}
}

// sleepUntil sleeps until load.Nanos is at. It tells the runtime, as the server's
// loops do when they sleep.
func sleepUntil(at int64) {
	for {
		left := at - load.Nanos()
		if left <= 0 {
			return
		}
		t := unix.NsecToTimespec(left)
		_, _, errno := unix.Syscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
		if errno != 0 && errno != syscall.EINTR {
			panic(fmt.Sprintf("BUG: nanosleep: %v", errno))
		}
	}
}
