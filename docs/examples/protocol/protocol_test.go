// Package protocol shows what a new protocol takes: a file in conn, a file in conn/wire
// and a line in the table of conn/protocol.go. The files are in testdata; the test
// compiles the server with them laid over it (go help build, -overlay) and runs the
// protocol's own test.
package protocol

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// line is what the table gets.
const line = "\t\tnetstrings,\n"

func TestAProtocolIsTwoFilesAndALine(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(root, "conn/protocol.go"))
	if err != nil {
		t.Fatal(err)
	}
	const last = "\t\tlongPoll,\n"
	if strings.Count(string(table), last) != 1 {
		t.Fatalf("conn/protocol.go has no line %q", last)
	}
	longer := filepath.Join(t.TempDir(), "protocol.go")
	if err := os.WriteFile(longer, []byte(strings.Replace(string(table), last, last+line, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(root, "docs/examples/protocol/testdata")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(root, "conn/protocol.go"):       longer,
		filepath.Join(root, "conn/netstring.go"):      filepath.Join(ours, "conn/netstring.go"),
		filepath.Join(root, "conn/netstring_test.go"): filepath.Join(ours, "conn/netstring_test.go"),
		filepath.Join(root, "conn/wire/netstring.go"): filepath.Join(ours, "wire/netstring.go"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	test := exec.Command("go", "test", "-count=1", "-v", "-overlay", list, "-run", "^TestNetstrings$", "./conn")
	test.Dir = root
	said, err := test.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "--- PASS: TestNetstrings") {
		t.Fatalf("%v\n%s", err, said)
	}
}
