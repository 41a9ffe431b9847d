package web

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"c10m/internal/patience"
)

// TypeScript's compiler over c10m.d.ts, with what a page may do and what it may not, and
// over the modules and the demo, which have to be what it says.
func TestTypes(t *testing.T) {
	t.Parallel()
	const compiler = "test/node_modules/.bin/tsc"
	if _, err := os.Stat(compiler); err != nil {
		t.Fatal("the npm package typescript is not there: run make test, which installs it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	for _, project := range []string{"test/types/tsconfig.json", "test/types/source.json"} {
		if out, err := exec.CommandContext(ctx, compiler, "-p", project).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", project, err, out)
		}
	}
}

var (
	comment = regexp.MustCompile(`(?s)/\*\*.*?\*/|//[^\n]*`)
	// What is declared, the members of it, and the words of unions.
	declared = regexp.MustCompile(`(?m)^(?:export )?(?:type|const|interface|class) (\w+)|^ +(?:readonly )?(\w+)\??[:(]|"(\w+)"`)
)

// The example uses each name, option, event and word of c10m.d.ts.
func TestTypesExampleIsWhole(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("test/types/example.ts")
	if err != nil {
		t.Fatal(err)
	}
	words := make(map[string]bool)
	for _, word := range regexp.MustCompile(`\w+`).FindAllString(string(example), -1) {
		words[word] = true
	}
	found := 0
	for _, names := range declared.FindAllStringSubmatch(comment.ReplaceAllString(string(types), ""), -1) {
		name := names[1] + names[2] + names[3]
		found++
		if !words[name] && name != "constructor" {
			t.Errorf("%s is in c10m.d.ts and not in the example", name)
		}
	}
	if found < 100 {
		t.Errorf("%d names are in c10m.d.ts", found)
	}
}
