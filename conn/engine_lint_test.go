package conn

import (
	"os/exec"
	"strings"
	"testing"
)

// What moves the bytes is behind poller.Engine: neither the sessions nor what stands
// under them make system calls on sockets, or know an engine.
func TestNothingKnowsTheEngine(t *testing.T) {
	output, err := exec.Command("go", "list", "-deps", "c10m/conn", "c10m/channel", "c10m/poller").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(output)) {
		if name == "golang.org/x/sys/unix" || strings.HasPrefix(name, "c10m/poller/") {
			t.Errorf("%s is imported", name)
		}
	}
}
