package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sends = `commit %s, Linux 6.18, 2026-11-30T10:00:00Z
1       floor         100000    65.280   157.696     100000    0.95    0.87    0.02  the sender's thread
1       server        150000    66.560   155.648     120000    1.12    0.82    0.02  the host
1       ratio          %s
2       floor         100000    65.280   157.696     100000    0.95    0.87    0.02  the sender's thread
2       server        250000    66.560   155.648     110000    1.12    0.82    0.02  the host
2       ratio          2.500
median  ratio          9.999  (of the rounds' ratios)
`

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Rounds of all runs count, and a row has all their commits; quotients are taken
// round by round.
func TestRowsOfSeveralRuns(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "sends-18000.txt"), strings.NewReplacer("%s,", "abc,", "%s", "1.500").Replace(sends))
	put(t, filepath.Join(dir, "run2", "sends-18000.txt"), strings.NewReplacer("%s,", "def-dirty,", "%s", "1.100").Replace(sends))
	var out bytes.Buffer
	if err := write(&out, dir, []string{"sends-18000", "signals"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| deliveries, of the floor's, 18,000 | 1.0 | 2 | 1.10 | 4 in 2 runs | abc 2026-11-30, def-dirty 2026-11-30 | sends-18000 |\n",
		"| the same for each second of processor time |  | 1.15 | 1.10 | 4 in 2 runs |",
		"| deliveries a second |  | 200,000 | 150,000 | 4 in 2 runs |",
		"| from one client's PUB to the other's MSG, p50 | 200 us | not measured |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if err := write(&out, dir, []string{"nothing"}); err == nil {
		t.Error("a run that nobody knows is taken")
	}
}

// Each figure finds its value in what is kept, so that no table loses a row when a
// program says it in other words.
func TestFiguresAreFound(t *testing.T) {
	later := map[string]bool{"deliveries, of the floor's that batches, 8 under way": true}
	for _, f := range figures {
		r, err := f.read("../results")
		if err != nil {
			t.Error(err)
		}
		if len(r.values) == 0 && !later[f.what] && f.by != batchingPerCore {
			t.Errorf("%s: %s is not in what it said", f.run, f.what)
		}
	}
}
