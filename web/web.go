package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
)

// A Page is a file that the server gives to browsers.
type Page struct {
	Path, ContentType string // Path is that of the URL
	Policy            string // Content-Security-Policy; "" is none
	Body              []byte // not to be changed
}

const javaScript = "text/javascript; charset=utf-8"

var module = join()

//go:embed c10m.d.ts
var types []byte

//go:embed demo.html
var demo []byte

//go:embed demo.js
var demoScript []byte

// Module is c10m.js and its types.
func Module() []Page {
	return []Page{
		{"/-/c10m.js", javaScript, "", module},
		// No content type is registered for it.
		{"/-/c10m.d.ts", "text/plain; charset=utf-8", "", types},
	}
}

// Demo is the demo page, which needs the module beside it.
func Demo() []Page {
	return []Page{
		{"/-/demo", "text/html; charset=utf-8", demoPolicy(), demo},
		{"/-/demo.js", javaScript, "", demoScript},
	}
}

// demoPolicy lets the demo load what is here, connect to any server, as its fields
// offer, and be shown in no frame, where clicks and a token could be stolen.
func demoPolicy() string {
	_, style, _ := bytes.Cut(demo, []byte("<style>"))
	style, _, found := bytes.Cut(style, []byte("</style>"))
	if !found {
		panic("BUG: the demo has no style")
	}
	sum := sha256.Sum256(style)
	return "default-src 'none'; script-src 'self'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
		"connect-src http: https: ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
