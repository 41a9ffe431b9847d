// Package signals takes the process's signals, before anything else of the program
// runs: it imports next to nothing, and Go initialises packages as soon as those are
// that they import, in the order of their paths. Until then, a few milliseconds after
// exec, the kernel's defaults hold, and SIGHUP ends a process.
package signals

import (
	"os"
	"os/signal"
	"syscall"
)

var (
	// End are SIGTERM and SIGINT: room for the first, and for the second, which says now.
	End = make(chan os.Signal, 2)
	// Hangup is SIGHUP.
	Hangup = make(chan os.Signal, 1)
	// Nohup says that whoever started the process had SIGHUP ignored (nohup).
	Nohup = signal.Ignored(syscall.SIGHUP)
)

func init() {
	signal.Notify(End, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(Hangup, syscall.SIGHUP)
	// Whoever reads what is printed may leave (SIGPIPE): the write fails, and no more.
	// SIGUSR1 and SIGUSR2, which some tools for logs send, mean nothing here.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2)
}
