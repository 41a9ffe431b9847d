package main

import (
	"c10m/conn/pages"
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
func (f *serveFlags) pages() []pages.Page {
	own := web.Module()
	if f.Demo {
		own = append(own, web.Demo()...)
	}
	served := make([]pages.Page, len(own))
	for i, page := range own {
		served[i] = pages.Page(page)
	}
	return served
}
