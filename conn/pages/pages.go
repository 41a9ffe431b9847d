// Package pages answers with what is the same for everybody: what the server says of
// itself at /, and its own pages below /-/. Answers are made once, for all loops. They
// have no Date, and no page is named that may read them: that is put in when one is said
// (wire.AppendDressed).
package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"c10m/conn/reasons"
	"c10m/conn/wire"
)

// A Page is one of the server's own, served on every port at its path, which
// begins with /-/. It is public: neither a token nor a channel is asked for.
type Page struct {
	Path, ContentType string
	Policy            string // Content-Security-Policy; "" is none
	Body              []byte
}

// Pages are all of them. They do not change.
type Pages struct{ byPath map[string]*page }

// A page is the whole answers for a Page; the index says whether it is the last on its
// connection.
type page struct {
	tag        string // strong, of the content: a browser asks again, and gets 304
	whole      [2][]byte
	unmodified [2][]byte
}

// New makes the answers for these, and for what is at /.
func New(pages []Page) Pages {
	all := make(map[string]*page)
	hasDemo := false
	for _, p := range pages {
		hasDemo = hasDemo || p.Path == "/-/demo"
		if !strings.HasPrefix(p.Path, "/-/") {
			panic("BUG: a page of our own at " + p.Path)
		}
	}
	for _, p := range append(rootPages(hasDemo), pages...) {
		sum := sha256.Sum256(p.Body)
		made := &page{tag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
		for isLast, last := range []string{"", wire.LastField} {
			// no-cache: to be asked for again each time, which an upgrade of the
			// server needs.
			common := wire.CORSFields + last + "ETag: " + made.tag + "\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
			if p.Policy != "" {
				common += "Content-Security-Policy: " + p.Policy + "\r\n"
			}
			if p.Path == rootText || p.Path == rootHTML {
				common += "Vary: Accept\r\n"
			}
			made.whole[isLast] = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", common, p.ContentType, len(p.Body), p.Body)
			made.unmodified[isLast] = []byte("HTTP/1.1 304 Not Modified\r\n" + common + "\r\n")
		}
		all[p.Path] = made
	}
	return Pages{all}
}

// Answer is the answer to a GET or HEAD, nil if there is no such page. It is shared: not
// to be changed.
func (p Pages) Answer(h *wire.Head, isLast bool) []byte {
	path := string(h.Path())
	if path == rootText && h.AcceptsHTML() {
		path = rootHTML
	}
	found := p.byPath[path]
	if found == nil {
		return nil
	}
	i := 0
	if isLast {
		i = 1
	}
	var known [8][]byte
	if wire.HasTag(h.Lines(wire.IfNoneMatch, known[:]), found.tag) {
		return found.unmodified[i]
	}
	return wire.AnswerTo(h.IsHead(), found.whole[i])
}

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
