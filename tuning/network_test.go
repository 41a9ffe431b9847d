package tuning

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNetworkCountsAreReadWithoutGarbage(t *testing.T) {
	if _, err := os.Stat("/proc/net/snmp"); err != nil {
		t.Skip(err)
	}
	c := newNetworkCounts(ThisHost())
	c.tcpBytes()
	c.deviceDrops()
	if sent, _ := c.segments(); sent == 0 {
		t.Error("this host has sent no segment")
	}
	read := func() {
		c.tcpBytes()
		c.deviceDrops()
		c.segments()
	}
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations for a look", n)
	}
}

// What stays open says what is in the file now, however long it has become.
func TestAProcFileIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	f := procFile{fsys: os.DirFS(dir), name: "x"}
	if got := f.read(); got != nil {
		t.Fatalf("a file that is not there says %q", got)
	}
	for _, text := range []string{"one\n", strings.Repeat("long ", procFileBytes), "", "three"} {
		if err := os.WriteFile(filepath.Join(dir, "x"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := string(f.read()); got != text {
			t.Fatalf("%d bytes were read of %d", len(got), len(text))
		}
	}
}
