package faults

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"c10m/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// scale returns the number for the bounded form of a test or for the full one
// (C10M_FAULTS=full, which make faults sets).
func scale(bounded, full int) int {
	if os.Getenv("C10M_FAULTS") == "full" {
		return full
	}
	return bounded
}

// An outcome is a line of the table of faults.
type outcome struct {
	fault   string // what was injected
	clients int
	lost    int           // messages, summed over the clients that should have had them
	recover time.Duration // until all was well again; 0: nothing had to
	held    string        // what was promised, and held
}

var table sync.Mutex

// held prints a line of the table and adds it to the file that is named by
// C10M_FAULTS_TABLE. A test calls it last, and not if it has failed.
func held(t *testing.T, o outcome) {
	t.Helper()
	if t.Failed() {
		return
	}
	recovery := "at once"
	if o.recover > 0 {
		recovery = fmt.Sprintf("%.1f s", o.recover.Seconds())
	}
	line := fmt.Sprintf("| %s | %d | %d | %s | %s | %s |\n", o.fault, o.clients, o.lost, recovery, o.held, t.Name())
	t.Log(strings.TrimSpace(line))
	path := os.Getenv("C10M_FAULTS_TABLE")
	if path == "" {
		return
	}
	table.Lock()
	defer table.Unlock()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		t.Fatal(err)
	}
}
