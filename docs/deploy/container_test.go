package deploy

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The build line of the container file makes a binary that runs where nothing
// else is: static, and able to say what it can do.
func TestContainerBuildLine(t *testing.T) {
	text := read(t, "Containerfile")
	lines := regexp.MustCompile(`(?m)^RUN (.*go build.*)$`).FindAllStringSubmatch(text, -1)
	if len(lines) != 1 {
		t.Fatalf("%d lines build", len(lines))
	}
	binary := filepath.Join(t.TempDir(), "10m-server")
	build := exec.Command("sh", "-c", rewrite(t, lines[0][1], " /10m-server ", " "+binary+" "))
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is not static: %v", program.Type)
		}
	}
	if out, err := exec.Command(binary, "--help").CombinedOutput(); err != nil || !strings.Contains(string(out), "--listen") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, want := range []string{"\nCOPY --from=build /10m-server ", "\nENTRYPOINT [\"/10m-server\"]\n", "\nUSER 65532:65532\n", "\nFROM scratch\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not there", want)
		}
	}
	// The version of Go that the module asks for.
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, filepath.Join("..", "..", "go.mod")))
	if module == nil || !strings.Contains(text, "FROM golang:"+module[1]+" ") {
		t.Errorf("go.mod asks for %v", module)
	}
}
