package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type flags struct {
	Names    []string `arg:"" optional:"" help:"Patterns of names, as of a shell: all by default."`
	Parallel int      `default:"2" help:"How many run at the same time."`
	Patches  string   `default:"scripts/mutants.d" help:"Where the patches are."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("mutants"), kong.Description("Proves that named tests catch each bug of a collection."))
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := prove(ctx, f); err != nil {
		fmt.Fprintf(os.Stderr, "mutants: %v\n", err)
		os.Exit(1)
	}
}

func prove(ctx context.Context, f flags) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	s := &session{start: time.Now(), count: map[verdict]int{}, isBroken: map[string]bool{}, total: 0}
	mutants, err := s.read(f)
	if err != nil {
		return err
	}
	trees := make(chan tree, f.Parallel)
	for range max(1, f.Parallel) {
		t, err := newTree(root)
		defer t.remove()
		if err != nil {
			return err
		}
		trees <- t
	}
	s.ctx, s.trees = ctx, trees

	baselines := namedTests(mutants)
	fmt.Printf("%d mutants; first the tests of %d packages on the tree as it is\n", len(mutants), len(baselines))
	s.each(len(baselines), func(t tree, i int) error { return s.baseline(t, baselines[i]) })
	s.total = len(mutants)
	s.each(len(mutants), func(t tree, i int) error { return s.mutate(t, &mutants[i]) })
	return s.sum()
}

// A session counts. Everything below mu is guarded by it.
type session struct {
	// Fixed after construction.
	ctx   context.Context
	start time.Time
	trees chan tree

	mu       sync.Mutex
	total    int
	done     int
	count    map[verdict]int
	isBroken map[string]bool // packages
	err      error
}

func (s *session) read(f flags) (mutants []mutant, err error) {
	if len(f.Names) == 0 {
		f.Names = []string{"*"}
	}
	var paths []string
	for _, name := range f.Names {
		found, err := filepath.Glob(filepath.Join(f.Patches, name+".patch"))
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no patch in %s is named %q", f.Patches, f.Names)
	}
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		m, err := readMutant(path)
		if err != nil {
			s.count[misapplied]++
			fmt.Printf("%s %s: %v\n", m.name, misapplied, err)
			continue
		}
		mutants = append(mutants, m)
	}
	return mutants, nil
}

// namedTests has one catch for each package, with all tests that are named of it.
func namedTests(mutants []mutant) (all []catch) {
	for _, m := range mutants {
		for _, c := range m.catches {
			i := slices.IndexFunc(all, func(b catch) bool { return b.pkg == c.pkg })
			if i < 0 {
				i, all = len(all), append(all, catch{pkg: c.pkg})
			}
			for _, name := range c.tests {
				if !slices.Contains(all[i].tests, name) {
					all[i].tests = append(all[i].tests, name)
				}
			}
		}
	}
	return all
}

// each runs do for 0 to n-1, as many at a time as there are trees. A tree that
// cannot be put back is used no more, and the run fails.
func (s *session) each(n int, do func(tree, int) error) {
	var running sync.WaitGroup
	for i := range n {
		t := <-s.trees
		running.Go(func() {
			defer func() { s.trees <- t }()
			if s.ctx.Err() != nil || s.failed() {
				return
			}
			err := do(t, i)
			if err == nil {
				err = t.restore()
			}
			if err != nil {
				s.fail(err)
			}
		})
	}
	running.Wait()
}

func (s *session) baseline(t tree, b catch) error {
	began := time.Now()
	o := test(s.ctx, t, b.pkg, b.tests)
	v := judgeBaseline(o, b.tests)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil
	}
	if v == passed {
		fmt.Printf("baseline %s passes (%d tests, %.1f s)\n", b.pkg, len(b.tests), time.Since(began).Seconds())
		return nil
	}
	s.isBroken[b.pkg] = true
	if v == survived {
		v = "fails"
	}
	fmt.Printf("baseline %s %s:\n%s\n", b.pkg, v, o.end())
	return nil
}

func (s *session) mutate(t tree, m *mutant) error {
	began := time.Now()
	v, why := s.try(t, m)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil
	}
	s.done++
	s.count[v]++
	fmt.Printf("[%d of %d, %v] %s %s (%.1f s)\n", s.done, s.total, time.Since(s.start).Round(time.Second), m.name, v, time.Since(began).Seconds())
	if v != caught && why != "" {
		fmt.Println(why)
	}
	return nil
}

func (s *session) try(t tree, m *mutant) (verdict, string) {
	if s.broken(m) {
		return unproved, ""
	}
	if err := m.apply(string(t)); err != nil {
		return misapplied, err.Error()
	}
	for _, c := range m.catches {
		o := test(s.ctx, t, c.pkg, c.tests)
		if v := judgeMutant(o, c); v != caught {
			return v, o.end()
		}
	}
	return caught, ""
}

func (s *session) broken(m *mutant) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(m.catches, func(c catch) bool { return s.isBroken[c.pkg] })
}

func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

func (s *session) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// sum prints the last line, and is an error unless every mutant was caught.
func (s *session) sum() error {
	if s.err != nil {
		return s.err
	}
	if s.ctx.Err() != nil {
		return errors.New("interrupted")
	}
	line, all := fmt.Sprintf("%d caught", s.count[caught]), s.count[caught]
	for _, v := range []verdict{survived, timedOut, panicked, unbuilt, misapplied, unproved} {
		if n := s.count[v]; n > 0 {
			line, all = fmt.Sprintf("%s, %d %s", line, n, v), all+n
		}
	}
	fmt.Printf("%d mutants in %v: %s\n", all, time.Since(s.start).Round(time.Second), line)
	if s.count[caught] != all {
		return fmt.Errorf("%d of %d mutants are not caught", all-s.count[caught], all)
	}
	if len(s.isBroken) > 0 {
		return errors.New("a baseline fails")
	}
	return nil
}
