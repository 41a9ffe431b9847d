/*
Package browser holds the test that opens the operator's page of a real server
under load in Chromium, and looks at and does what an operator would. There is
nothing here but tests.

Chromium is driven through its debugging port (the Chrome DevTools Protocol, JSON
over a WebSocket): a real pointer and keyboard, as far as the page can tell, and no
script of ours in it but for reading what it shows.

	go test ./admin/browser -screenshots ../../docs/images

keeps the screenshots that are in the documentation, and waits until the plots have
something to show. scripts/install-test-deps installs Chromium.
*/
package browser
