package tuning

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// lowHost is too low in what can be set and in what cannot.
func lowHost() files {
	return plainHost().with(files{
		"/proc/sys/fs/file-max":                "100000\n",
		"/proc/sys/fs/epoll/max_user_watches":  "100000\n",
		"/proc/sys/net/core/somaxconn":         "128\n",
		"/proc/sys/net/ipv4/tcp_mem":           "1000\t2000\t900000\n",
		"/proc/sys/net/ipv4/tcp_ehash_entries": "1024\n",
	})
}

func TestDoctorApply(t *testing.T) {
	host, root := lowHost().onDisk(t, 16)
	var out bytes.Buffer
	opts := DoctorOptions{Want: Want{Connections: 1_000_000}, Host: &host}
	if ok, err := Doctor(&out, opts); ok || err != nil {
		t.Fatalf("before: %v, %v", ok, err)
	}
	if b, _ := os.ReadFile(filepath.Join(root, "proc/sys/fs/file-max")); string(b) != "100000\n" {
		t.Fatalf("a plain examination wrote %q", b)
	}
	out.Reset()
	opts.Apply = true
	if ok, err := Doctor(&out, opts); !ok || err != nil {
		t.Errorf("apply: %v, %v\n%s", ok, err, out.String())
	}
	for name, want := range map[string]string{
		"fs/file-max": "1090000\n", "fs/epoll/max_user_watches": "1030000\n", "net/core/somaxconn": "4096\n",
		"net/ipv4/tcp_mem":           "330000 440000 900000\n",
		"net/ipv4/tcp_ehash_entries": "1024\n",    // cannot be written
		"net/ipv4/tcp_max_orphans":   "1000000\n", // was enough
		"vm/max_map_count":           "65530\n",
	} {
		if b, err := os.ReadFile(filepath.Join(root, "proc/sys", name)); string(b) != want {
			t.Errorf("%s: %q, %v; want %q", name, b, err, want)
		}
	}
	text := out.String()
	for _, want := range []string{
		"set fs.file-max = 1090000\n",
		"not set: net.ipv4.tcp_ehash_entries: cannot be set from here while the host runs: thash_entries=262144",
		"The host now:",
		"Ready for 1,000,000 connections, with 1 to improve",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	out.Reset()
	if _, err := Doctor(&out, opts); err != nil || strings.Contains(out.String(), "\nset ") {
		t.Errorf("applied twice: %v\n%s", err, out.String())
	}
}

// With the number left open, what --apply raises must not move the goal.
func TestDoctorApplyDefault(t *testing.T) {
	host, _ := lowHost().onDisk(t, 16)
	before := Examine(host, Want{})
	write := host.Write
	host.Write = func(name, text string) error { // more than was asked for
		return errors.Join(write(name, text), write("sys/fs/epoll/max_user_watches", "9000000"), write("sys/fs/file-max", "9000000"))
	}
	var out bytes.Buffer
	if ok, err := Doctor(&out, DoctorOptions{Apply: true, Host: &host}); !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	if want := count(before.Connections) + " connections, "; !strings.Contains(out.String(), "\n"+want) {
		t.Errorf("not %q in\n%s", want, out.String())
	}
}

func TestApplyProblems(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{&fs.PathError{Op: "open", Err: unix.EROFS}, "read-only"},
		{&fs.PathError{Op: "open", Err: unix.EACCES}, "only root"},
		{&fs.PathError{Op: "open", Err: unix.EPERM}, "only root"},
		{&fs.PathError{Op: "open", Err: unix.ENOENT}, "does not have it"},
		{&fs.PathError{Op: "write", Err: unix.EINVAL}, "out of range"},
		{errors.New("odd"), "odd"},
	} {
		host := lowHost().host(16)
		host.Write = func(string, string) error { return tc.err }
		changes := Apply(host, Examine(host, Want{Connections: 1_000_000}))
		if len(changes) != 5 || changes[0].Setting != "fs.file-max" {
			t.Fatalf("changes %+v", changes)
		}
		got := changes[0].Problem
		if !strings.Contains(got, tc.want) || (got == "") != (tc.err == nil) || strings.Contains(got, "\n") {
			t.Errorf("%v: %q, want %q", tc.err, got, tc.want)
		}
	}
	host := lowHost().host(16) // cannot be written
	for _, c := range Apply(host, Examine(host, Want{Connections: 1_000_000})) {
		if c.Problem == "" {
			t.Errorf("%+v without a way to write", c)
		}
	}
}

// What the file sets, applied to the host, leaves nothing low, and nothing
// that is enough is lowered.
func TestSysctlFile(t *testing.T) {
	host := lowHost().with(conntrack("262144", "0")).host(16)
	var out bytes.Buffer
	if _, err := Doctor(&out, DoctorOptions{Want: Want{Connections: 1_000_000}, Sysctl: true, Host: &host}); err != nil {
		t.Fatal(err)
	}
	changes, comment := files{}, ""
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		switch {
		case len(line) > 100:
			t.Errorf("line too long: %q", line)
		case strings.HasPrefix(line, "#"):
			comment = line
		case line == "":
			comment = ""
		default:
			name, value, ok := strings.Cut(line, " = ")
			if !ok || comment == "" {
				t.Errorf("line %q after the comment %q", line, comment)
			}
			changes["/proc/"+sysctlFile(name)] = value
		}
	}
	for _, name := range []string{"fs.file-max", "fs.epoll.max_user_watches", "net.core.somaxconn", "net.ipv4.tcp_mem", "net.ipv4.tcp_max_orphans"} {
		if changes["/proc/"+sysctlFile(name)] == "" {
			t.Errorf("%s is not set", name)
		}
	}
	for _, name := range []string{"vm.max_map_count", "net.netfilter.nf_conntrack_max", "net.ipv4.tcp_ehash_entries", "nofile (hard)"} {
		if v := changes["/proc/"+sysctlFile(name)]; v != "" {
			t.Errorf("%s is set to %s", name, v)
		}
	}
	if !strings.Contains(out.String(), "# vm.max_map_count = 2380 (is 65,530, which is enough)\n") {
		t.Errorf("what is enough is not said:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "/etc/sysctl.d/90-c10m.conf ") {
		t.Errorf("the file has another name than in the README:\n%s", out.String())
	}
	after := Examine(lowHost().with(changes).host(16), Want{Connections: 1_000_000})
	if after.Low() != 0 || after.count(Advice) != 1 { // the established hash stays
		t.Errorf("%d low, %d advice", after.Low(), after.count(Advice))
	}
}

// tcp_mem grows with the memory at boot and must not be nailed down.
func TestSysctlFileEnough(t *testing.T) {
	var out bytes.Buffer
	if err := WriteSysctl(&out, Examine(plainHost().host(2), Want{Connections: 10_000})); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"net.ipv4.tcp_mem", "fs.file-max", "fs.epoll.max_user_watches"} {
		if strings.Contains(out.String(), "\n"+name) || !strings.Contains(out.String(), "\n# "+name) {
			t.Errorf("%s is set or missing in\n%s", name, out.String())
		}
	}
}

func TestPrint(t *testing.T) {
	for _, h := range []Host{
		plainHost().host(2), lowHost().host(2), files{}.host(2),
		lowHost().with(conntrack("1", "1")).with(files{
			"/proc/self/limits":                      limits("64", "64"),
			"/proc/sys/kernel/osrelease":             "5.15.0-a-very-long-name-of-somebodys-own-kernel",
			"/sys/fs/cgroup/system.slice/memory.max": "1000000",
		}).host(2),
	} {
		for _, n := range []int{1, 10_000, 10_000_000, 1 << 32} {
			var out bytes.Buffer
			report := Examine(h, Want{Connections: n})
			if err := report.Print(&out, false); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > tableColumns || strings.Contains(line, "\x1b") {
					t.Errorf("line %q", line)
				}
			}
			for _, c := range report.Checks {
				if c.Now == "" || c.Need == "" || c.Verdict == "" {
					t.Errorf("a hole in the table: %+v", c)
				}
				if c.Bad() && (c.Why == "" || c.Fix == "" && c.Setting != "nofile (hard)") {
					t.Errorf("nothing to go by: %+v", c)
				}
			}
			if want := fmt.Sprintf("%s connections, 1,001 ports", count(n)); !strings.HasPrefix(out.String(), want) {
				t.Errorf("no %q", want)
			}
		}
	}
	var out bytes.Buffer
	if err := Examine(lowHost().host(2), Want{Connections: 1_000_000}).Print(&out, true); err != nil ||
		!strings.Contains(out.String(), colours[Low]+"low\x1b[0m") {
		t.Errorf("no colour: %v", err)
	}
}

func TestDoctorJSON(t *testing.T) {
	host := lowHost().host(16)
	var out bytes.Buffer
	ok, err := Doctor(&out, DoctorOptions{Want: Want{Connections: 1_000_000}, JSON: true, Host: &host})
	if ok || err != nil {
		t.Fatal(ok, err)
	}
	var got struct {
		Connections int
		Checks      []struct{ Setting, Verdict, Value string }
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Connections != 1_000_000 || len(got.Checks) < 18 {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestDoctorOptions(t *testing.T) {
	host := plainHost().host(2)
	for _, opts := range []DoctorOptions{
		{Apply: true, Sysctl: true}, {JSON: true, Sysctl: true},
		{Want: Want{Connections: -1}}, {Want: Want{Connections: 1 << 40}},
		{Want: Want{Ports: -1}}, {Want: Want{Ports: 70_000}},
		{Want: Want{Loops: -1}}, {Want: Want{Loops: 70_000}}, {Want: Want{FDTables: "own"}},
	} {
		opts.Host = &host
		var out bytes.Buffer
		ok, err := Doctor(&out, opts)
		if ok || err == nil || out.Len() > 0 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, %v, printed %q", opts, ok, err, out.String())
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, unix.EPIPE }

func TestDoctorBrokenPipe(t *testing.T) {
	host := plainHost().host(2)
	for _, opts := range []DoctorOptions{{}, {Apply: true}, {Sysctl: true}, {JSON: true}} {
		opts.Host = &host
		if _, err := Doctor(brokenWriter{}, opts); !errors.Is(err, unix.EPIPE) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

// The real host, read only: it must not crash, whatever it is.
func TestExamineHere(t *testing.T) {
	h := ThisHost()
	h.Write = nil
	report := Examine(h, Want{Connections: 1_000_000})
	if report.check(t, "kernel").Verdict == Unknown || report.check(t, "memory").Verdict == Unknown {
		t.Fatal("no /proc to speak of")
	}
	if report.Limit < 1 || report.Limiting == "" {
		t.Errorf("limit %d by %q", report.Limit, report.Limiting)
	}
}
