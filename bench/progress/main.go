package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// slowestMax are listed in the end, each of packages and tests.
	slowestMax = 8
	// slowestSecondsMin: what is faster is no news.
	slowestSecondsMin = 5
	// allPackagesMin and more are make test.
	allPackagesMin = 40
	// skipsMax are printed with their reasons.
	skipsMax = 50
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	status, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "tests: %v\n", err)
		os.Exit(2)
	}
	os.Exit(status)
}

// run is go test with these arguments, and its exit status.
func run(ctx context.Context, args []string) (status int, err error) {
	packages, err := testedPackages(args)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	last := lastTime(packages)
	fmt.Fprintf(os.Stderr, "%d packages; %s\n", len(packages), last)
	command := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := command.Start(); err != nil {
		return 0, err
	}
	v := &view{out: os.Stdout, aside: os.Stderr, packages: len(packages), isVerbose: slices.Contains(args, "-v"), began: began}
	readErr := v.read(out)
	err = command.Wait()
	if readErr != nil {
		return 0, readErr
	}
	v.sum()
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		return max(1, ended.ExitCode()), nil
	case err != nil:
		return 0, err
	}
	last.save(time.Since(began))
	return 0, nil
}

// testedPackages are those of the arguments: what go list knows of them.
func testedPackages(args []string) ([]string, error) {
	var patterns []string
	for _, arg := range args {
		if strings.HasPrefix(arg, "./") || strings.HasPrefix(arg, "c10m/") || arg == "." || arg == "c10m" {
			patterns = append(patterns, arg)
		}
	}
	list := exec.Command("go", append([]string{"list"}, patterns...)...)
	list.Stderr = os.Stderr
	text, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", strings.Join(patterns, " "), err)
	}
	return strings.Fields(string(text)), nil
}

// A remembered time is in bin, one for each number of packages.
type remembered struct {
	path     string
	packages int
	seconds  float64
}

func lastTime(packages []string) remembered {
	r := remembered{packages: len(packages), path: filepath.Join("bin", fmt.Sprintf("tests-%d.seconds", len(packages)))}
	if text, err := os.ReadFile(r.path); err == nil {
		r.seconds, _ = strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	}
	return r
}

func (r remembered) save(took time.Duration) {
	// Without it the next run knows less.
	_ = os.WriteFile(r.path, fmt.Appendf(nil, "%.0f\n", took.Seconds()), 0o644)
}

func (r remembered) String() string {
	if r.seconds > 0 {
		return fmt.Sprintf("they took %v the last time", clock(time.Duration(r.seconds*float64(time.Second))))
	}
	if r.packages < allPackagesMin {
		return "how long they take is not known yet"
	}
	return "all of them take up to 8 minutes on two quiet processors, longer where others use them, and two more to compile at first"
}

// clock is a duration as people say it.
func clock(d time.Duration) string {
	d = d.Round(time.Second)
	if d < time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}
