package web

import (
	"context"
	"os/exec"
	"regexp"
	"testing"

	"c10m/internal/patience"
	"c10m/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// hangGuard ends what hangs; it is no expectation of speed.
var hangGuard = patience.Guard

// The unit tests of c10m.js. node is content with no test at all, so they are counted.
func TestModule(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), hangGuard)
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
