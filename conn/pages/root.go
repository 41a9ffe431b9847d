package pages

import (
	"strings"

	"c10m/conn/reasons"
)

// What somebody is told who comes with a browser, or with a plain GET.

// The paths under which New keeps what is answered at /.
const (
	rootText = "/"
	rootHTML = "/ html"
)

func rootPages(hasDemo bool) []Page {
	ways, text, link := reasons.WaysTo("news"), "", ""
	if hasDemo {
		text = "\nTry it in a browser: http://HOST/-/demo\n"
		link = "<p>Try it here: <a href=\"/-/demo\">the demo</a>.</p>\n"
	}
	const title = "This is c10m, a server that pushes messages to many connections."
	const path = "The path of a URL names a channel; what is published to it reaches everybody there."
	html := "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>c10m</title>\n" +
		"<h1>c10m</h1>\n<p>" + title + " " + path + " With this host for HOST:</p>\n<pre>" + htmlText.Replace(ways) + "</pre>\n" + link + "</html>\n"
	const policy = "default-src 'none'; frame-ancestors 'none'"
	return []Page{
		{Path: rootText, ContentType: "text/plain; charset=utf-8", Body: []byte(title + "\n" + path + "\n" + ways + text), Policy: policy},
		{Path: rootHTML, ContentType: "text/html; charset=utf-8", Body: []byte(html), Policy: policy},
	}
}

var htmlText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
