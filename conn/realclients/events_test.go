package realclients

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"c10m/internal/patience"
	"c10m/internal/servertest"
)

// The browser's own EventSource, from a page of another origin.
func TestEventSource(t *testing.T) {
	t.Parallel()
	d := direct(t)
	d.line = newLine(t, fmt.Sprintf("127.0.0.1:%d", d.server.Port))
	d.browse("events.html", d.line.url)
	for _, step := range []string{"a stream that is cut continues where it was", "a drain is told, with its end"} {
		if !slices.Contains(d.steps, step) {
			t.Errorf("the step %q was not taken", step)
		}
	}
}

// What the README says: curl alone subscribes, and sees events as they come.
func TestCurlReadsEvents(t *testing.T) {
	t.Parallel()
	d := direct(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
	defer cancel()
	var stderr bytes.Buffer
	curl := exec.CommandContext(ctx, servertest.Find(t, "curl"), "-sN", "-H", "Accept: text/event-stream", fmt.Sprintf("http://127.0.0.1:%d/news", d.server.Port))
	curl.Stderr = &stderr
	out, err := curl.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := curl.Start(); err != nil {
		t.Fatal(err)
	}
	defer curl.Wait()
	defer cancel()
	var read []byte
	until := func(what string) {
		t.Helper()
		buffer := make([]byte, 4096)
		for !strings.Contains(string(read), what) {
			n, err := out.Read(buffer)
			if read = append(read, buffer[:n]...); err != nil {
				t.Fatalf("curl says %q and %q, then %v", read, stderr.String(), err)
			}
		}
	}
	until("retry: ")
	servertest.RedisCLI(t, d.server.Bus, "PUBLISH", "news", "hello")
	until("\ndata: hello\n\n")
	until("\n:\n\n") // a heartbeat
}

// And it polls, with the position that it was given.
func TestCurlPolls(t *testing.T) {
	t.Parallel()
	d := direct(t)
	poll := func(query string) (head, body string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience.Guard)
		defer cancel()
		out, err := exec.CommandContext(ctx, servertest.Find(t, "curl"), "-si", fmt.Sprintf("http://127.0.0.1:%d/news?%s", d.server.Port, query)).Output()
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ = strings.Cut(string(out), "\r\n\r\n")
		return head + "\r\n", body
	}
	position := func(head string) string {
		_, rest, _ := strings.Cut(head, "\r\nC10m-Position: ")
		id, _, _ := strings.Cut(rest, "\r\n")
		return id
	}
	head, body := poll("wait=0")
	if !strings.HasPrefix(head, "HTTP/1.1 204 ") || position(head) == "" || body != "" {
		t.Fatalf("%q %q", head, body)
	}
	for _, payload := range []string{"hello", "again"} {
		servertest.RedisCLI(t, d.server.Bus, "PUBLISH", "news", payload)
		if head, body = poll("wait=30&since=" + position(head)); body != payload {
			t.Fatalf("%q %q", head, body)
		}
	}
	if head, _ = poll("wait=30&since=elsewhere-1"); !strings.HasPrefix(head, "HTTP/1.1 410 ") || position(head) == "" {
		t.Errorf("%q", head)
	}
}
