package servertest

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"c10m/internal/patience"
)

// RedisCLI runs the real redis-cli and returns what it prints.
func RedisCLI(t testing.TB, port int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience.Guard)
	defer cancel()
	out, err := exec.CommandContext(ctx, Find(t, "redis-cli"), append([]string{"-p", strconv.Itoa(port)}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// StartRedis starts a real Redis that keeps nothing on disk and waits until it
// listens. args are further options of redis-server.
func StartRedis(t testing.TB, port int, args ...string) *Process {
	t.Helper()
	p := Start(t, Find(t, "redis-server"), append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--dir", t.TempDir()}, args...)...)
	Eventually(t, "Redis answers", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}
