/*
Package realclients holds the tests that run WebSocket clients which others wrote
against the real server: ws in Node, and Chromium, headless, with a page of ours.
Both run one scenario, scenario.mjs; node.mjs and page.html are what differs
between them. There is nothing here but tests.

A scenario talks to the test that started it over HTTP (the test's own, on a port
of the kernel's choice, which also serves the page): it asks it to publish, and
tells it how it ended.

scripts/install-test-deps installs Node, Chromium and, by package-lock.json, ws.
*/
package realclients
