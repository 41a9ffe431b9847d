package proc

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"c10m/internal/patience"
)

func TestTree(t *testing.T) {
	command := exec.Command("/bin/sh", "-c", "/bin/sh -c 'sleep 100; :' & read line")
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Wait()
	var tree []int
	for end := patience.Deadline(); len(tree) < 3 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		tree = Tree(command.Process.Pid)
	}
	if len(tree) != 3 || tree[0] != command.Process.Pid || slices.Contains(tree, os.Getpid()) {
		t.Errorf("the tree of %d is %v", command.Process.Pid, tree)
	}
	for _, pid := range slices.Backward(tree) {
		if memory, err := Proportional(pid); err != nil || memory == 0 {
			t.Errorf("process %d: %d bytes, %v", pid, memory, err)
		}
		if pid != command.Process.Pid {
			p, _ := os.FindProcess(pid)
			p.Kill()
		}
	}
	stdin.Close()
	if _, err := Proportional(-1); err == nil {
		t.Error("no such process, and no error")
	}
}
