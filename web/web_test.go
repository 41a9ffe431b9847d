package web

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"c10m/internal/patience"
	"c10m/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// The modules as one file: an engine takes it, with what c10m.d.ts names and nothing else.
func TestJoined(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c10m.mjs")
	if err := os.WriteFile(file, module, 0o600); err != nil {
		t.Fatal(err)
	}
	program := `import(process.argv[1]).then((all) => console.log(Object.keys(all).join()))`
	out, err := exec.CommandContext(t.Context(), servertest.Find(t, "node", "nodejs"), "-e", program, file).CombinedOutput()
	if want := "C10m,C10mError,Subscription,outcomes\n"; err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}

// The unit tests of c10m.js. node is content with no test at all, so they are counted.
func TestModule(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	out, err := exec.CommandContext(ctx, servertest.Find(t, "node", "nodejs"), "--test", "--test-reporter=tap", "test/c10m.test.mjs", "test/outcomes.test.mjs", "test/publish.test.mjs", "test/recovery.test.mjs").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	count := regexp.MustCompile(`(?m)^# pass (\d+)$`).FindSubmatch(out)
	if count == nil || string(count[1]) == "0" {
		t.Fatalf("no test has passed:\n%s", out)
	}
	t.Logf("%s tests", count[1])
}
