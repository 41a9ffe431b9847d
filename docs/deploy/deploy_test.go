// Package deploy tests the files beside it: that the proxies' configurations work
// with the proxies of the distribution, the unit with systemd, and the container
// file's build line.
package deploy

import (
	"os"
	"strings"
	"testing"

	"c10m/internal/servertest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == sandboxArgument {
		sandbox(os.Args[2], os.Args[3:])
	}
	servertest.Main(m)
}

// look finds a program, also where only root has it on the PATH.
func look(t *testing.T, program string) string {
	t.Helper()
	return servertest.Find(t, program, "/usr/sbin/"+program, "/sbin/"+program)
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rewrite replaces what a test needs otherwise, each of which has to be there.
func rewrite(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%q is not there any more", pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}
