package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A verdict is how a mutant, or a baseline, ended.
type verdict string

const (
	caught     verdict = "caught"
	survived   verdict = "SURVIVED"
	timedOut   verdict = "TIMED OUT"
	panicked   verdict = "PANICKED"
	unbuilt    verdict = "does not compile"
	misapplied verdict = "does not apply"
	skipped    verdict = "is not proved, since tests are skipped here"
	passed     verdict = "passes"
	unproved   verdict = "not run, since its baseline fails"
)

// An outcome is what one run of go test -v said.
type outcome struct {
	failed, skipped, passed []string
	said                    string
	ok                      bool
}

var result = regexp.MustCompile(`(?m)^\s*--- (FAIL|PASS|SKIP): (\S+)`)

// test runs the named tests of a package in a tree.
func test(ctx context.Context, t tree, pkg string, names []string) outcome {
	ctx, cancel := context.WithTimeout(ctx, mutantSecondsMax)
	defer cancel()
	command := exec.CommandContext(ctx, "go", "test", "-v", "-count=1", "-timeout", testSecondsMax.String(), "-run", pattern(names), pkg)
	command.Dir = string(t)
	command.Env = append(os.Environ(), "C10M_PATIENCE="+mutantPatience.String()) // internal/patience
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	err := command.Run()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		fmt.Fprintf(&said, "panic: test timed out after %v\n", mutantSecondsMax)
	}
	return readOutcome(said.String(), err == nil)
}

func readOutcome(said string, ok bool) outcome {
	o := outcome{said: said, ok: ok}
	for _, line := range result.FindAllStringSubmatch(said, -1) {
		switch line[1] {
		case "FAIL":
			o.failed = append(o.failed, line[2])
		case "SKIP":
			o.skipped = append(o.skipped, line[2])
		default:
			o.passed = append(o.passed, line[2])
		}
	}
	return o
}

// pattern is for -run: these tests and no others. A name with a slash is a subtest.
func pattern(names []string) string {
	var tops, subs []string
	for _, name := range names {
		top, sub, isSub := strings.Cut(name, "/")
		tops = append(tops, regexp.QuoteMeta(top))
		if isSub {
			subs = append(subs, regexp.QuoteMeta(sub))
		}
	}
	slices.Sort(tops)
	of := "^(" + strings.Join(slices.Compact(tops), "|") + ")$"
	if len(subs) == len(names) {
		slices.Sort(subs)
		return of + "/^(" + strings.Join(slices.Compact(subs), "|") + ")$"
	}
	return of
}

// judgeBaseline wants each name to pass.
func judgeBaseline(o outcome, names []string) verdict {
	if v := o.ending(); v != "" {
		return v
	}
	for _, name := range names {
		if slices.Contains(o.skipped, name) {
			return skipped
		}
		if !slices.Contains(o.passed, name) {
			return survived
		}
	}
	if !o.ok {
		return survived
	}
	return passed
}

// judgeMutant wants each name to fail, or the panic that was said before.
func judgeMutant(o outcome, c catch) verdict {
	if c.panic != "" && strings.Contains(o.said, "panic: "+c.panic) {
		return caught
	}
	failed := 0
	for _, name := range c.tests {
		if slices.Contains(o.failed, name) {
			failed++
		}
	}
	v := o.ending()
	switch {
	case v == timedOut || v == unbuilt:
		return v
	case failed == len(c.tests) && c.panic == "":
		return caught
	case v != "":
		return v
	}
	return survived
}

// ending says how a run ended that did not come to its end, or nothing.
func (o outcome) ending() verdict {
	switch {
	case strings.Contains(o.said, "panic: test timed out after"):
		return timedOut
	case strings.Contains(o.said, "[build failed]") || strings.Contains(o.said, "[setup failed]"):
		return unbuilt
	case strings.Contains(o.said, "\npanic: ") || strings.HasPrefix(o.said, "panic: ") || strings.Contains(o.said, "\nfatal error: "):
		return panicked
	}
	return ""
}

// end is the last lines of what was said, but of a panic the first ones.
func (o outcome) end() string {
	lines := strings.Split(strings.TrimSpace(o.said), "\n")
	if i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "panic: ") }); i >= 0 {
		lines = lines[i:]
		return strings.Join(lines[:min(len(lines), reportLinesMax)], "\n")
	}
	return strings.Join(lines[max(0, len(lines)-reportLinesMax):], "\n")
}
