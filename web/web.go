package web

import _ "embed"

// A Page is a file that the server gives to browsers.
type Page struct {
	Path        string // of the URL
	ContentType string
	Body        []byte // not to be changed
}

//go:embed c10m.js
var module []byte

//go:embed c10m.d.ts
var types []byte

// Pages returns what is to be served.
func Pages() []Page {
	return []Page{
		{"/-/c10m.js", "text/javascript; charset=utf-8", module},
		{"/-/c10m.d.ts", "application/typescript; charset=utf-8", types},
	}
}
