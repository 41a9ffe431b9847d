package web

import _ "embed"

// A Page is a file that the server gives to browsers.
type Page struct {
	Path, ContentType string // Path is that of the URL
	Body              []byte // not to be changed
}

const javaScript = "text/javascript; charset=utf-8"

//go:embed c10m.js
var module []byte

//go:embed c10m.d.ts
var types []byte

//go:embed demo.html
var demo []byte

//go:embed demo.js
var demoScript []byte

// Module is c10m.js and its types.
func Module() []Page {
	return []Page{
		{"/-/c10m.js", javaScript, module},
		// No content type is registered for it.
		{"/-/c10m.d.ts", "text/plain; charset=utf-8", types},
	}
}

// Demo is the demo page, which needs the module beside it.
func Demo() []Page {
	return []Page{
		{"/-/demo", "text/html; charset=utf-8", demo},
		{"/-/demo.js", javaScript, demoScript},
	}
}
