package main

import (
	"c10m/conn"
	"c10m/web"
)

// demoHistory is how many messages of a channel --demo keeps: enough for a page that
// looks on while its server's network goes and comes.
const demoHistory = 100

// openDemo makes the demo work out of the box.
func (f *serveFlags) openDemo() {
	if !f.Demo {
		return
	}
	f.Publish = "own"
	if f.History == 0 {
		f.History = demoHistory
	}
}

// pages are what the server gives to browsers.
func (f *serveFlags) pages() []conn.Page {
	pages := web.Module()
	if f.Demo {
		pages = append(pages, web.Demo()...)
	}
	served := make([]conn.Page, len(pages))
	for i, page := range pages {
		served[i] = conn.Page(page)
	}
	return served
}
