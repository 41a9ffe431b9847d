package main

import (
	"fmt"
	"strings"
	"testing"

	"c10m/internal/servertest"
)

// Two servers on one port with a bus each: the second says so in one sentence, and a
// second that shares the bus of the first does not.
func TestTwoServersWithTwoBusesSayIt(t *testing.T) {
	const said = "somebody else listens on"
	first := servertest.StartServer(t, 0)
	if strings.Contains(first.Output.String(), said) {
		t.Errorf("the first says it: %s", first.Output.String())
	}
	listen := fmt.Sprintf("127.0.0.1:%d", first.Port)
	second := servertest.StartServer(t, 0, "--listen", listen)
	servertest.Eventually(t, "it is said", func() bool {
		return strings.Contains(second.Output.String(), said+" "+listen) && strings.Contains(second.Output.String(), "--bus redis://")
	})
	third := servertest.StartServer(t, 0, "--listen", listen, "--bus", fmt.Sprintf("redis://127.0.0.1:%d", first.Bus))
	servertest.Eventually(t, "the bus works", third.Healthy)
	if strings.Contains(third.Output.String(), said) {
		t.Errorf("with one bus: %s", third.Output.String())
	}
}
