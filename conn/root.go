package conn

import "strings"

// What somebody is told who comes with a browser, or with a plain GET.

// The paths under which newPages keeps what is answered at /.
const (
	rootText = "/"
	rootHTML = "/ html"
)

// waysIn answers a plain GET of a channel.
const waysIn = `This is a channel of a c10m server, which wants another kind of request.
URL is what you asked for, HOST its host, CHANNEL its path:

  WebSocket            websocat ws://HOST/CHANNEL
  many channels        the subprotocol c10m.v1 at ws://HOST/
  server-sent events   curl -N -H 'Accept: text/event-stream' URL
  long poll            curl -i 'URL?wait=30'
  publish              curl -d hello URL   (if the server runs with --publish own)
  publish              redis-cli PUBLISH CHANNEL hello   (at the server's bus)
  connections now      curl http://HOST/-/channels/CHANNEL
  in a web page        <script src="http://HOST/-/c10m.js"></script>

/ says more of this server.`

const rootWays = `
  WebSocket            websocat ws://HOST/news
  many channels        the subprotocol c10m.v1 at ws://HOST/
  server-sent events   curl -N -H 'Accept: text/event-stream' http://HOST/news
  long poll            curl -i 'http://HOST/news?wait=30'
  publish              curl -d hello http://HOST/news   (if the server runs with --publish own)
  publish              redis-cli PUBLISH news hello     (at the server's bus)
  connections now      curl http://HOST/-/channels/news
  in a web page        <script src="http://HOST/-/c10m.js"></script>
`

// rootPages are what is answered at /, as text and as HTML.
func rootPages(hasDemo bool) []Page {
	text, link := "", ""
	if hasDemo {
		text = "\nTry it in a browser: http://HOST/-/demo\n"
		link = "<p>Try it here: <a href=\"/-/demo\">the demo</a>.</p>\n"
	}
	const title = "This is c10m, a server that pushes messages to many connections."
	const path = "The path of a URL names a channel; what is published to it reaches everybody there."
	html := "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>c10m</title>\n" +
		"<h1>c10m</h1>\n<p>" + title + " " + path + " With this host for HOST:</p>\n<pre>" + htmlText.Replace(rootWays) + "</pre>\n" + link + "</html>\n"
	const policy = "default-src 'none'; frame-ancestors 'none'"
	return []Page{
		{Path: rootText, ContentType: "text/plain; charset=utf-8", Body: []byte(title + "\n" + path + "\n" + rootWays + text), Policy: policy},
		{Path: rootHTML, ContentType: "text/html; charset=utf-8", Body: []byte(html), Policy: policy},
	}
}

var htmlText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
