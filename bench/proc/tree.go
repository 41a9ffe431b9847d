package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Tree is a process with all that descend from it, itself first. One that
// ended meanwhile may be missing.
func Tree(pid int) []int {
	pids := []int{pid}
	for i := 0; i < len(pids); i++ {
		// A child belongs to the thread that made it (proc(5)).
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			for _, field := range strings.Fields(string(text)) {
				if child, err := strconv.Atoi(field); err == nil {
					pids = append(pids, child)
				}
			}
		}
	}
	return pids
}

// Proportional is the resident memory of a process in bytes, with what it
// shares with others divided among them: Pss of proc_pid_smaps(5). That of a
// tree can be added up, as VmRSS cannot.
func Proportional(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	bytes, found := parseKilobytes(string(text))["Pss"]
	if !found {
		return 0, fmt.Errorf("/proc/%d/smaps_rollup has no Pss", pid)
	}
	return bytes, nil
}
