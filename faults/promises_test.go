package faults

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/PROMISES.md names a test for each promise. A test that was renamed or
// dropped takes its promise with it.
func TestPromisesNameTests(t *testing.T) {
	page, err := os.ReadFile("../docs/PROMISES.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`(?:([a-z0-9/]+)\\.)?((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1)
	if len(names) < 50 {
		t.Fatalf("only %d names of tests were found", len(names))
	}
	sources := map[string]string{}
	for _, name := range names {
		folder, test := name[1], name[2]
		if folder == "" {
			folder = "faults"
		} else if folder == "c10m" {
			folder = "."
		}
		if _, read := sources[folder]; !read {
			sources[folder] = testSources(t, filepath.Join("..", folder))
		}
		if !strings.Contains(sources[folder], "func "+test+"(") {
			t.Errorf("there is no test %s in %s", test, folder)
		}
	}
	for _, line := range strings.Split(string(page), "\n") {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| promise") && !strings.Contains(line, "`") {
			t.Errorf("a promise without a test: %s", line)
		}
	}
}

// testSources are the test files of one folder, in one piece.
func testSources(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", folder, err)
	}
	var all []byte
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source...)
	}
	return string(all)
}
