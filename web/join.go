package web

import (
	"embed"
	"regexp"
	"strings"
)

// modules are those of c10m.js, in the order in which they stand in the file: from the
// public face down, but a base class before what extends it.
var modules = []string{"c10m", "core", "outbox", "wayback", "session", "socket", "requests", "feeds", "outcomes", "shared", "limits"}

//go:embed src/*.js
var sources embed.FS

var (
	imports = regexp.MustCompile(`(?m)^import \{ \w+(?:, \w+)* \} from "\./\w+\.js";\n`)
	exports = regexp.MustCompile(`(?m)^export (const|class|function) `)
	foreign = regexp.MustCompile(`(?m)^(import\b.*|export\b.*\bfrom\b.*|export (default|\*).*)$`)
)

// join makes one module of all: without imports, and without exports but those of the
// first, which is the public face. Its engine refuses a name that is declared twice.
func join() []byte {
	if files, _ := sources.ReadDir("src"); len(files) != len(modules) {
		panic("BUG: src has modules that are not joined")
	}
	var all strings.Builder
	for i, name := range modules {
		source, err := sources.ReadFile("src/" + name + ".js")
		if err != nil {
			panic("BUG: " + err.Error())
		}
		text := imports.ReplaceAllString(string(source), "")
		if i > 0 {
			text = exports.ReplaceAllString(text, "$1 ")
			all.WriteString("\n// ---- " + name + ".js ----\n\n")
		}
		if wrong := foreign.FindString(text); wrong != "" {
			panic("BUG: " + name + ".js has what cannot be joined: " + wrong)
		}
		all.WriteString(strings.TrimSpace(text) + "\n")
	}
	return []byte(all.String())
}
