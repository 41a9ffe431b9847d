/*
Package chromium drives a headless Chromium for tests of pages, through its
debugging port (the Chrome DevTools Protocol, JSON over a WebSocket): a real
keyboard and a real screen, as far as the page can tell. scripts/install-test-deps
installs Chromium. What hangs or fails ends the test.
*/
package chromium
