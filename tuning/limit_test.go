package tuning

import (
	"strings"
	"testing"
)

func TestDefaultMaxConnections(t *testing.T) {
	lowNofile := files{"/proc/self/limits": limits("1024", "20000")}
	for _, tc := range []struct {
		name     string
		changes  files
		want     Want
		min, max int
		reason   string
	}{
		{"one table for all", files{"/proc/self/limits": limits("1024", "unlimited"), "/proc/sys/fs/nr_open": "2147483584"}, Want{},
			13_900_000, 14_000_000, "fs.epoll.max_user_watches (14,000,000)"},
		{"memory", files{"/proc/sys/fs/epoll/max_user_watches": "90000000"}, Want{}, 13_600_000, 14_500_000, "free memory (60.0 GiB"},
		{"watches", files{"/proc/sys/fs/epoll/max_user_watches": "500000"}, Want{}, 470_000, 500_000, "fs.epoll.max_user_watches (500,000)"},
		{"file-max", files{"/proc/sys/fs/file-max": "500000"}, Want{}, 410_000, 500_000, "fs.file-max (500,000)"},
		{"file-max, exempt", files{"/proc/sys/fs/file-max": "500000", "/proc/self/status": "CapEff: 0000000000200000\n"}, Want{},
			13_600_000, 14_500_000, "fs.epoll"},
		{"nofile does not bind private tables", lowNofile, Want{}, 13_900_000, 14_000_000, "fs.epoll.max_user_watches"},
		{"but shared ones", lowNofile, Want{FDTables: FDShared, Ports: 1}, 19_696, 19_696, "one shared fd table holds 20,000"},
		{"shared, as the runtime raises it", files{"/proc/self/limits": limits("19999", "20000")}, Want{FDTables: FDShared, Ports: 1},
			19_695, 19_695, "one shared fd table holds 19,999"},
		{"and set loops", lowNofile, Want{Loops: 10, Ports: 1}, 189_000, 190_000, "--loops 10"},
		{"tiny tables", files{"/proc/self/limits": limits("512", "512")}, Want{Ports: 1}, 5000, 20_000, "an fd table holds 512"},
		{"tables of ports", files{"/proc/self/limits": limits("512", "512")}, Want{}, 1, 1, "raise the hard limit above"},
		{"conntrack", conntrack("262144", "3"), Want{}, 150_000, 160_000, "nf_conntrack_max"},
		{"conntrack idle", conntrack("262144", "0"), Want{}, 13_600_000, 14_500_000, ""},
		{"cgroup", files{"/sys/fs/cgroup/system.slice/memory.max": "2147483648"}, Want{},
			400_000, 470_000, "the memory limit of cgroup /system.slice (2.0 GiB left of 2.0 GiB"},
		{"cgroup that is full", files{"/sys/fs/cgroup/system.slice/memory.max": "1000", "/sys/fs/cgroup/system.slice/memory.current": "5000"}, Want{},
			1, 1, "cgroup /system.slice"},
		{"cgroup larger than the host", files{"/sys/fs/cgroup/system.slice/memory.max": "999999999999", "/proc/meminfo": meminfo(8<<20, 4<<20)}, Want{},
			850_000, 950_000, "free memory (4.0 GiB"},
		{"threads", lowNofile.with(files{"/sys/fs/cgroup/system.slice/pids.max": "100"}), Want{}, 560_000, 720_000, "cgroup pids limit (100)"},
		{"memory unknown", files{"/proc/meminfo": "-"}, Want{}, connectionsUnknownHost, connectionsUnknownHost, "unknown memory"},
		{"a poor host", files{"/proc/meminfo": meminfo(200<<10, 100<<10)}, Want{}, 1, 1, "free memory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := plainHost().with(tc.changes).host(16)
			n, reason := DefaultMaxConnections(h, tc.want)
			if n < tc.min || n > tc.max || !strings.Contains(reason, tc.reason) {
				t.Fatalf("%d, limited by %s; want %d to %d and %q", n, reason, tc.min, tc.max, tc.reason)
			}
			if n == 1 {
				return
			}
			// The doctor must not call its own default too low, but one that
			// is a third larger.
			tc.want.Connections = n
			report := Examine(h, tc.want)
			for _, c := range report.Checks {
				if c.Verdict == Low || c.Verdict == Advice && c.warn && c.Setting != "net.core.somaxconn" {
					t.Errorf("the default of %d: %+v", n, c)
				}
			}
			tc.want.Connections = n + n/3
			if tc.name != "memory unknown" && len(Warnings(h, tc.want)) == 0 {
				t.Errorf("no warning for %d", tc.want.Connections)
			}
		})
	}
}
