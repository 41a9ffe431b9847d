package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A mutant is one bug: what is changed, and who must notice.
type mutant struct {
	name    string
	catches []catch
	hunks   []hunk
}

// A catch names the tests of one package that must fail, or the text of the panic
// that ends them.
type catch struct {
	pkg   string
	tests []string
	panic string
}

// A hunk replaces text of one file.
type hunk struct {
	file, before, after string
}

var (
	header    = regexp.MustCompile(`^Caught by: (\./\S*|\.)((?: [A-Z]\S*)+)(?: panics (".*"))?$`)
	hunkStart = regexp.MustCompile(`^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@`)
)

func readMutant(path string) (mutant, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return mutant{}, err
	}
	m, err := parseMutant(string(text))
	m.name = strings.TrimSuffix(filepath.Base(path), ".patch")
	return m, err
}

func parseMutant(text string) (m mutant, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	file := ""
	for n, line := range lines {
		switch {
		case file == "" && strings.HasPrefix(line, "Caught by:"):
			c, err := parseCatch(line)
			if err != nil {
				return m, err
			}
			m.catches = append(m.catches, c)
		case strings.HasPrefix(line, "+++ b/") && strings.HasPrefix(lines[n-1], "--- a/"):
			file = strings.TrimPrefix(line, "+++ b/")
		case hunkStart.MatchString(line):
			h, err := parseHunk(file, lines[n+1:])
			if err != nil {
				return m, fmt.Errorf("%s, line %d: %w", file, n+1, err)
			}
			m.hunks = append(m.hunks, h)
		}
	}
	if len(m.catches) == 0 {
		return m, errors.New(`no line "Caught by: ./package TestName"`)
	}
	if len(m.hunks) == 0 {
		return m, errors.New("nothing is changed")
	}
	return m, nil
}

func parseCatch(line string) (catch, error) {
	fields := header.FindStringSubmatch(line)
	if fields == nil {
		return catch{}, fmt.Errorf("%q is not \"Caught by: ./package TestName...\"", line)
	}
	c := catch{pkg: fields[1], tests: strings.Fields(fields[2])}
	if fields[3] != "" {
		var err error
		if c.panic, err = strconv.Unquote(fields[3]); err != nil {
			return c, fmt.Errorf("%q: %w", line, err)
		}
	}
	return c, nil
}

// parseHunk reads up to the next hunk or file.
func parseHunk(file string, lines []string) (hunk, error) {
	var before, after strings.Builder
	context := 0
	for _, line := range lines {
		if line == "" {
			line = " " // What an editor made of an empty line of context.
		}
		mark, text := line[0], line[1:]+"\n"
		if mark != ' ' && mark != '-' && mark != '+' && mark != '\\' || strings.HasPrefix(line, "--- a/") {
			break
		}
		switch mark {
		case ' ':
			context++
			before.WriteString(text)
			after.WriteString(text)
		case '-':
			before.WriteString(text)
		case '+':
			after.WriteString(text)
		}
	}
	h := hunk{file: file, before: before.String(), after: after.String()}
	switch {
	case file == "":
		return h, errors.New("a hunk of no file")
	case context == 0:
		return h, errors.New("no context: make the patch with git diff")
	case h.before == h.after:
		return h, errors.New("a hunk that changes nothing")
	}
	return h, nil
}

// apply changes the files under root. It fails, and may leave a part, unless each
// hunk is for exactly one place.
func (m *mutant) apply(root string) error {
	for _, h := range m.hunks {
		path := filepath.Join(root, h.file)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := places(string(text), h.before); n != 1 {
			return fmt.Errorf("%s has %d places like this, not one; make the patch anew:\n%s", h.file, n, h.before)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), h.before, h.after, 1)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// places counts where whole lines of text are those of block, overlaps included.
func places(text, block string) (n int) {
	for at := 0; ; {
		i := strings.Index(text[at:], block)
		if i < 0 {
			return n
		}
		if at += i; at == 0 || text[at-1] == '\n' {
			n++
		}
		at++
	}
}
