package tuning

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// A fake host is a map of files with paths from the root, "/proc/..." and
// "/sys/...". plainHost is one of 64 GiB that carries 1,000,000 with shared
// tables; tests change single files of it.
type files map[string]string

func plainHost() files {
	return files{
		"/proc/meminfo":                                 meminfo(64<<20, 60<<20),
		"/proc/self/limits":                             limits("1024", "2000000"),
		"/proc/self/cgroup":                             "0::/system.slice/c10m.service\n",
		"/proc/self/mountinfo":                          "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
		"/proc/self/uid_map":                            "0 0 4294967295\n",
		"/proc/self/status":                             "Name:\tx\nCapEff:\t0000000000000000\n",
		"/proc/sys/kernel/osrelease":                    "6.12.3-amd64\n",
		"/proc/sys/fs/nr_open":                          "4000000\n",
		"/proc/sys/fs/file-max":                         "9223372036854775807\n",
		"/proc/sys/fs/epoll/max_user_watches":           "14000000\n",
		"/proc/sys/net/core/somaxconn":                  "65535\n",
		"/proc/sys/net/core/netdev_max_backlog":         "16384\n",
		"/proc/sys/net/ipv4/tcp_syncookies":             "1\n",
		"/proc/sys/net/ipv4/tcp_max_syn_backlog":        "4096\n",
		"/proc/sys/net/ipv4/tcp_mem":                    "770000\t1030000\t1540000\n",
		"/proc/sys/net/ipv4/tcp_ehash_entries":          "524288\n",
		"/proc/sys/net/ipv4/tcp_max_orphans":            "1000000\n",
		"/proc/sys/net/ipv4/tcp_max_tw_buckets":         "1000000\n",
		"/proc/sys/net/ipv4/tcp_migrate_req":            "1\n",
		"/proc/sys/net/ipv4/ip_local_port_range":        "32768\t60999\n",
		"/proc/sys/net/ipv4/ip_local_reserved_ports":    "\n",
		"/proc/sys/vm/max_map_count":                    "65530\n",
		"/proc/sys/vm/overcommit_memory":                "0\n",
		"/sys/fs/cgroup/system.slice/memory.max":        "max\n",
		"/sys/fs/cgroup/system.slice/c10m.service/none": "",
	}
}

func meminfo(totalKiB, freeKiB int64) string {
	return "MemTotal:       " + plain(totalKiB) + " kB\nMemFree:        1 kB\nMemAvailable:   " + plain(freeKiB) + " kB\n"
}

func limits(soft, hard string) string {
	return "Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max processes             94000                94000                processes \n" +
		"Max open files            " + soft + "               " + hard + "               files     \n"
}

// with returns a copy with some files changed; "-" removes one.
func (f files) with(changes files) files {
	c := files{}
	for name, text := range f {
		c[name] = text
	}
	for name, text := range changes {
		c[name] = text
		if text == "-" {
			delete(c, name)
		}
	}
	return c
}

// host presents the files from memory.
func (f files) host(cores int) Host {
	proc, sys := fstest.MapFS{}, fstest.MapFS{}
	for name, text := range f {
		if rest, ok := strings.CutPrefix(name, "/proc/"); ok {
			proc[rest] = &fstest.MapFile{Data: []byte(text)}
		}
		if rest, ok := strings.CutPrefix(name, "/sys/"); ok {
			sys[rest] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return Host{Proc: proc, Sys: sys, Cores: cores}
}

// onDisk presents the files from a temporary root that can be written to.
func (f files) onDisk(t *testing.T, cores int) (Host, string) {
	t.Helper()
	root := t.TempDir()
	for name, text := range f {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Host{
		Proc: os.DirFS(filepath.Join(root, "proc")), Sys: os.DirFS(filepath.Join(root, "sys")), Cores: cores,
		Write: func(name, text string) error {
			at := filepath.Join(root, "proc", name)
			if _, err := os.Stat(at); err != nil {
				return err
			}
			return os.WriteFile(at, []byte(text), 0o644)
		},
	}, root
}

// check returns the check of that name.
func (r Report) check(t *testing.T, setting string) Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Setting == setting {
			return c
		}
	}
	t.Fatalf("no check of %q", setting)
	return Check{}
}

// brokenFS fails every read, as a /proc without permission does.
type brokenFS struct{}

func (brokenFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func plain(v int64) string { return strconv.FormatInt(v, 10) }
