// Package patience says how long tests wait. No test of this module depends on how fast
// the host is: each waits for a condition, and Guard only ends what would hang.
package patience

import (
	"os"
	"testing"
	"time"
)

// Guard is when a test gives up. Six programs may share the host's two processors with
// the tests, so it is minutes where milliseconds are usual. C10M_PATIENCE is another
// duration: bench/mutants, whose tests must fail, does not wait for as long.
var Guard = guard()

const guardDefault = 3 * time.Minute

func guard() time.Duration {
	d, err := time.ParseDuration(os.Getenv("C10M_PATIENCE"))
	if err != nil || d <= 0 {
		return guardDefault
	}
	return d
}

// Eventually waits until ok, and fails the test if that never comes.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Guard); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", Guard, what)
		}
	}
}

// Deadline is for connections that a test makes: their whole life.
func Deadline() time.Time { return time.Now().Add(Guard) }
