package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// A tree is a copy of the source with an index of its own. One worker uses it.
type tree string

// newTree copies what git would track under root. Nothing else comes along but
// the directories of installed packages, to which it links.
func newTree(root string) (tree, error) {
	t, err := freePlace(root)
	if err != nil {
		return t, err
	}
	if err := os.RemoveAll(string(t)); err != nil {
		return t, err
	}
	if err := os.MkdirAll(string(t), 0o755); err != nil {
		return t, err
	}
	const copying = `git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do [ -f "$f" ] && printf '%s\0' "$f"; done | xargs -0 cp --parents -t "$0" --`
	if err := run(root, "bash", "-c", copying, string(t)); err != nil {
		return t, err
	}
	if err := run(string(t), "bash", "-c", `git init -q && git add -A && git -c user.name=mutants -c user.email=mutants@localhost commit -q --no-verify -m copy`); err != nil {
		return t, err
	}
	return t, t.link(root)
}

// locks are held until the process ends: nobody else works in its places.
var locks []*os.File

// freePlace is the first of the places for copies of root that nobody uses.
func freePlace(root string) (tree, error) {
	sum := fnv.New64a()
	sum.Write([]byte(root))
	for number := range placesMax {
		t := tree(filepath.Join(os.TempDir(), fmt.Sprintf("c10m-mutants-%x-%d", sum.Sum64(), number)))
		lock, err := os.OpenFile(string(t)+".lock", os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return t, err
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			locks = append(locks, lock)
			return t, nil
		}
		lock.Close()
	}
	return "", fmt.Errorf("all %d places for copies of %s are in use", placesMax, root)
}

// link makes what was installed for the tests of root be there in the copy.
func (t tree) link(root string) error {
	installed, err := filepath.Glob(filepath.Join(root, "*/*/node_modules"))
	if err != nil {
		return err
	}
	here, err := filepath.Glob(filepath.Join(root, "*/node_modules"))
	if err != nil {
		return err
	}
	exclude, err := os.OpenFile(filepath.Join(string(t), ".git/info/exclude"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer exclude.Close()
	for _, from := range append(installed, here...) {
		name := strings.TrimPrefix(from, root+"/")
		if err := os.Symlink(from, filepath.Join(string(t), name)); err != nil {
			return err
		}
		fmt.Fprintln(exclude, name)
	}
	return nil
}

// restore puts back what a mutant or a test changed, and looks.
func (t tree) restore() error {
	if err := run(string(t), "bash", "-c", "git checkout -q -f -- . && git clean -fdq"); err != nil {
		return err
	}
	status := exec.Command("git", "status", "--porcelain")
	status.Dir = string(t)
	switch left, err := status.Output(); {
	case err != nil:
		return fmt.Errorf("%s: git status: %w", t, err)
	case len(left) > 0:
		return fmt.Errorf("%s is not clean:\n%s", t, left)
	}
	return nil
}

// remove leaves the lock's file, which is empty.
func (t tree) remove() error {
	if t == "" {
		return nil
	}
	return os.RemoveAll(string(t))
}

func run(dir, name string, args ...string) error {
	command := exec.Command(name, args...)
	command.Dir = dir
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, said.Bytes())
	}
	return nil
}
