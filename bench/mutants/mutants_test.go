package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const source = `package small

func add(a, b int) int {
	// The sum.
	sum := a + b
	return sum
}

func twice(a int) int {
	return a + a
}
`

const tests = `package small

import (
	"testing"
	"time"
)

func TestAdd(t *testing.T) {
	if got := add(1, 2); got != 3 {
		t.Fatalf("got %d", got)
	}
}

func TestTwice(t *testing.T) {
	if got := twice(2); got != 4 {
		t.Fatalf("got %d", got)
	}
}

func TestInTheBackground(t *testing.T) {
	done := make(chan int)
	go func() {
		if add(1, 1) != 2 {
			panic("BUG: a wrong sum")
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
	}
}
`

func patch(header, lines string) string {
	return header + "\ndiff --git a/small/small.go b/small/small.go\n--- a/small/small.go\n+++ b/small/small.go\n@@ -1,7 +1,7 @@ func add(a, b int) int {\n" + lines
}

const (
	sumIsWrong = " func add(a, b int) int {\n \t// The sum.\n-\tsum := a + b\n+\tsum := a - b\n \treturn sum\n }\n"
	sumIsEqual = " func add(a, b int) int {\n \t// The sum.\n-\tsum := a + b\n+\tsum := b + a\n \treturn sum\n }\n"
	sumIsNone  = " func add(a, b int) int {\n \t// The sum.\n-\tsum := a + b\n+\tsum := a + c\n \treturn sum\n }\n"
)

// enter makes a repository of these files and goes there.
func enter(t *testing.T, files map[string]string) {
	t.Helper()
	root := t.TempDir()
	t.Setenv("TMPDIR", t.TempDir())
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if said, err := exec.Command("git", "-C", root, "init", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	t.Chdir(root)
}

// A mutant that its named tests notice is caught, and nothing else is; one leaves
// nothing for the next, whichever tree it is in.
func TestOnlyWhatANamedTestNoticesIsCaught(t *testing.T) {
	cases := []struct {
		name, patch string
		want        verdict
	}{
		{"caught", patch("Caught by: ./small TestAdd", sumIsWrong), caught},
		{"equal", patch("Caught by: ./small TestAdd", sumIsEqual), survived},
		{"by-another-test", patch("Caught by: ./small TestTwice", sumIsWrong), survived},
		{"by-one-of-two", patch("Caught by: ./small TestAdd TestTwice", sumIsWrong), survived},
		{"no-code", patch("Caught by: ./small TestAdd", sumIsNone), unbuilt},
		{"panic", patch(`Caught by: ./small TestInTheBackground panics "BUG: a wrong sum"`, sumIsWrong), caught},
		{"panic-of-another-kind", patch("Caught by: ./small TestInTheBackground", sumIsWrong), panicked},
		{"baseline-fails", patch("Caught by: ./fails TestNeverPasses", sumIsWrong), unproved},
		{"baseline-skips", patch("Caught by: ./skips TestSkipped", sumIsWrong), unproved},
		{"no-such-test", patch("Caught by: ./lacks TestNobody", sumIsWrong), unproved},
		{"no-name", patch("Caught by: ./small", sumIsWrong), misapplied},
		{"no-context", patch("Caught by: ./small TestAdd", "-\tsum := a + b\n+\tsum := a - b\n"), misapplied},
		{"two-places", patch("Caught by: ./small TestAdd", " }\n+\n"), misapplied},
		{"once-more", patch("Caught by: ./small TestAdd", sumIsWrong), caught},
	}
	files := map[string]string{
		"go.mod": "module small\n\ngo 1.26\n", "small/small.go": source, "small/small_test.go": tests,
		"fails/x_test.go": "package fails\n\nimport \"testing\"\n\nfunc TestNeverPasses(t *testing.T) { t.Fatal() }\n",
		"skips/x_test.go": "package skips\n\nimport \"testing\"\n\nfunc TestSkipped(t *testing.T) { t.Skip() }\n",
		"lacks/x_test.go": "package lacks\n",
	}
	for _, c := range cases {
		files["scripts/mutants.d/"+c.name+".patch"] = c.patch
	}
	enter(t, files)
	said := output(t, func() error { return prove(t.Context(), flags{Parallel: 2, Patches: "scripts/mutants.d"}) })
	for _, c := range cases {
		if !strings.Contains(said, c.name+" "+string(c.want)) {
			t.Errorf("%s: not %q", c.name, c.want)
		}
	}
	if want := "14 mutants in "; !strings.Contains(said, want) || !strings.HasSuffix(said, "error: 11 of 14 mutants are not caught") {
		t.Errorf("the last lines")
	}
	if t.Failed() {
		t.Log(said)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "c10m-mutants-*[0-9]")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// A test that hangs catches nothing.
func TestATimeOutIsNoCatch(t *testing.T) {
	c := catch{pkg: "./small", tests: []string{"TestAdd"}}
	hung := readOutcome("=== RUN   TestAdd\n--- FAIL: TestAdd (1.00s)\n=== RUN   TestTwice\npanic: test timed out after 4m0s\nFAIL\tsmall\n", false)
	if v := judgeMutant(hung, c); v != timedOut {
		t.Errorf("%s", v)
	}
	if v := judgeBaseline(hung, c.tests); v != timedOut {
		t.Errorf("%s", v)
	}
}

func TestPattern(t *testing.T) {
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{"TestB", "TestA"}, "^(TestA|TestB)$"},
		{[]string{"TestA/one", "TestA/two"}, "^(TestA)$/^(one|two)$"},
		{[]string{"TestA/one", "TestB"}, "^(TestA|TestB)$"},
	} {
		if got := pattern(test.names); got != test.want {
			t.Errorf("%v: %s, not %s", test.names, got, test.want)
		}
	}
}

// The patches that are kept can be read and are for one place each, so that nobody
// finds that out an hour into make check.
func TestThePatchesApply(t *testing.T) {
	root := "../.."
	paths, err := filepath.Glob(filepath.Join(root, "scripts/mutants.d/*.patch"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d patches: %v", len(paths), err)
	}
	for _, path := range paths {
		m, err := readMutant(path)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		for _, h := range m.hunks {
			if text, err := os.ReadFile(filepath.Join(root, h.file)); err != nil {
				t.Errorf("%s: %v", m.name, err)
			} else if n := places(string(text), h.before); n != 1 {
				t.Errorf("%s: %s has %d places for it, not one: make it anew with git diff", m.name, h.file, n)
			}
		}
		for _, c := range m.catches {
			for _, name := range c.tests {
				if !declares(t, filepath.Join(root, c.pkg), name) {
					t.Errorf("%s: %s has no %s", m.name, c.pkg, name)
				}
			}
		}
	}
}

func declares(t *testing.T, dir, name string) bool {
	t.Helper()
	name, _, _ = strings.Cut(name, "/")
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err != nil {
			t.Fatal(err)
		} else if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

// output is what f printed, and then its error.
func output(t *testing.T, f func() error) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	old := os.Stdout
	os.Stdout = out
	err = f()
	os.Stdout = old
	said, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	if err == nil {
		return string(said) + "error: <nil>"
	}
	return string(said) + "error: " + err.Error()
}
