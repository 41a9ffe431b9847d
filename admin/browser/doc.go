/*
Package browser holds the test that opens the operator's page of a real server
under load in Chromium, and looks at and does what an operator would. There is
nothing here but tests.

The page is worked with a real keyboard, as far as it can tell (internal/chromium),
and there is no script of ours in it but for reading what it shows.

	go test ./admin/browser -screenshots ../../docs/images

keeps the screenshots that are in the documentation, and waits until the plots have
something to show. scripts/install-test-deps installs Chromium.
*/
package browser
