package tuning

import (
	"strings"
	"testing"
)

// On a host that has enough, everything is ok, and one changed file turns one
// verdict.
func TestExamine(t *testing.T) {
	const million = 1_000_000
	for _, tc := range []struct {
		name    string
		changes files
		want    Want
		setting string
		verdict Verdict
		fix     string // part of it
	}{
		{"file-max low", files{"/proc/sys/fs/file-max": "800000"}, Want{}, "fs.file-max", Low, "sysctl -w fs.file-max=1090000"},
		{"file-max low, exempt", files{"/proc/sys/fs/file-max": "800000", "/proc/self/status": "CapEff: 0000000000200000\n"},
			Want{}, "fs.file-max", Advice, "sysctl -w fs.file-max="},
		{"file-max garbage", files{"/proc/sys/fs/file-max": "many"}, Want{}, "fs.file-max", Unknown, ""},
		{"file-max empty", files{"/proc/sys/fs/file-max": ""}, Want{}, "fs.file-max", Unknown, ""},
		{"watches low", files{"/proc/sys/fs/epoll/max_user_watches": "900000"}, Want{}, "fs.epoll.max_user_watches", Low, "max_user_watches=1030000"},
		{"nofile low, private", files{"/proc/self/limits": limits("1024", "20000")}, Want{}, "nofile (hard)", OK, ""},
		{"nofile low, shared", files{"/proc/self/limits": limits("1024", "20000")}, Want{FDTables: FDShared}, "nofile (hard)", Low, ""},
		{"nofile tiny", files{"/proc/self/limits": limits("64", "64")}, Want{}, "nofile (hard)", Low, ""},
		{"nofile zero", files{"/proc/self/limits": limits("0", "0")}, Want{}, "nofile (hard)", Low, ""},
		{"nofile unknown", files{"/proc/self/limits": "-"}, Want{}, "nofile (hard)", Unknown, ""},
		{"loops too few", files{"/proc/self/limits": limits("1024", "20000")}, Want{Loops: 3}, "nofile (hard)", Low, ""},
		{"nr_open not needed", files{"/proc/self/limits": limits("1024", "20000"), "/proc/sys/fs/nr_open": "20000"}, Want{}, "fs.nr_open", NotNeeded, ""},
		{"nr_open cuts nofile off", files{"/proc/sys/fs/nr_open": "30000"}, Want{}, "fs.nr_open", NotNeeded, ""},
		{"nr_open unknown", files{"/proc/sys/fs/nr_open": "-"}, Want{}, "fs.nr_open", Unknown, ""},
		{"somaxconn low", files{"/proc/sys/net/core/somaxconn": "128"}, Want{}, "net.core.somaxconn", Advice, "somaxconn=4096"},
		{"netdev low", files{"/proc/sys/net/core/netdev_max_backlog": "1000"}, Want{}, "net.core.netdev_max_backlog", Advice, "=16384"},
		{"syn backlog with cookies", files{"/proc/sys/net/ipv4/tcp_max_syn_backlog": "128"}, Want{}, "net.ipv4.tcp_max_syn_backlog", NotNeeded, ""},
		{"syn backlog without", files{"/proc/sys/net/ipv4/tcp_syncookies": "0"}, Want{}, "net.ipv4.tcp_max_syn_backlog", Advice, "=5470"},
		{"tcp_mem pressure", files{"/proc/sys/net/ipv4/tcp_mem": "100000 400000 600000"}, Want{}, "net.ipv4.tcp_mem", Advice, `"330000 440000 660000"`},
		{"tcp_mem max", files{"/proc/sys/net/ipv4/tcp_mem": "1000 2000 200000"}, Want{}, "net.ipv4.tcp_mem", Low, `"330000 440000 660000"`},
		{"tcp_mem short", files{"/proc/sys/net/ipv4/tcp_mem": "1000 2000"}, Want{}, "net.ipv4.tcp_mem", Unknown, ""},
		{"tcp_mem never lowered", files{"/proc/sys/net/ipv4/tcp_mem": "1000 2000 900000"}, Want{}, "net.ipv4.tcp_mem", Advice, `"330000 440000 900000"`},
		{"ehash small", files{"/proc/sys/net/ipv4/tcp_ehash_entries": "131072"}, Want{}, "net.ipv4.tcp_ehash_entries", Advice, "thash_entries=262144"},
		{"ehash of the parent namespace", files{"/proc/sys/net/ipv4/tcp_ehash_entries": "-524288"}, Want{}, "net.ipv4.tcp_ehash_entries", OK, ""},
		{"ehash unknown", files{"/proc/sys/net/ipv4/tcp_ehash_entries": "-"}, Want{}, "net.ipv4.tcp_ehash_entries", Unknown, ""},
		{"no conntrack", nil, Want{}, "net.netfilter.nf_conntrack_max", NotNeeded, ""},
		{"conntrack idle", conntrack("262144", "0"), Want{}, "net.netfilter.nf_conntrack_max", NotNeeded, ""},
		{"conntrack low", conntrack("262144", "12"), Want{}, "net.netfilter.nf_conntrack_max", Low, "nf_conntrack_max=1320000"},
		{"conntrack enough", conntrack("2000000", "12"), Want{}, "net.netfilter.nf_conntrack_max", OK, ""},
		{"conntrack count unknown", conntrack("262144", "-"), Want{}, "net.netfilter.nf_conntrack_max", Low, ""},
		{"orphans", files{"/proc/sys/net/ipv4/tcp_max_orphans": "131072"}, Want{}, "net.ipv4.tcp_max_orphans", Advice, ""},
		{"time wait", files{"/proc/sys/net/ipv4/tcp_max_tw_buckets": "131072"}, Want{}, "net.ipv4.tcp_max_tw_buckets", Advice, ""},
		{"migrate requests", files{"/proc/sys/net/ipv4/tcp_migrate_req": "0"}, Want{}, "net.ipv4.tcp_migrate_req", Advice, "tcp_migrate_req=1"},
		{"port range", files{"/proc/sys/net/ipv4/ip_local_port_range": "x"}, Want{}, "net.ipv4.ip_local_port_range", NotNeeded, ""},
		{"local ports over ours", files{"/proc/sys/net/ipv4/ip_local_port_range": "1024\t65535"}, Want{}, "net.ipv4.ip_local_reserved_ports", Advice, "ip_local_reserved_ports=10000-11000,"},
		{"local ports over some of ours", files{"/proc/sys/net/ipv4/ip_local_port_range": "10100\t65535"}, Want{Ports: 120}, "net.ipv4.ip_local_reserved_ports", Advice, "=10100-10119, or listen below 10100"},
		{"local ports over one", nil, Want{Listen: []int{8080, 8081, 40000}}, "net.ipv4.ip_local_reserved_ports", Advice, "=40000,"},
		{"reserved among them", files{"/proc/sys/net/ipv4/ip_local_port_range": "1024\t65535", "/proc/sys/net/ipv4/ip_local_reserved_ports": "9000,10000-10999\n"},
			Want{}, "net.ipv4.ip_local_reserved_ports", Advice, "=9000,10000-11000,"},
		{"all reserved", files{"/proc/sys/net/ipv4/ip_local_port_range": "1024\t65535", "/proc/sys/net/ipv4/ip_local_reserved_ports": "10000-11000\n"},
			Want{}, "net.ipv4.ip_local_reserved_ports", OK, ""},
		{"local ports elsewhere", nil, Want{}, "net.ipv4.ip_local_reserved_ports", OK, ""},
		{"reserved ports unknown", files{"/proc/sys/net/ipv4/ip_local_reserved_ports": "-"}, Want{}, "net.ipv4.ip_local_reserved_ports", Unknown, ""},
		{"maps", files{"/proc/sys/vm/max_map_count": "1000"}, Want{}, "vm.max_map_count", Low, ""},
		{"overcommit 2", files{"/proc/sys/vm/overcommit_memory": "2"}, Want{}, "vm.overcommit_memory", Unknown, ""},
		{"overcommit 2, no room", files{"/proc/sys/vm/overcommit_memory": "2",
			"/proc/meminfo": meminfo(64<<20, 60<<20) + "CommitLimit: 200000 kB\nCommitted_AS: 100000 kB\n"}, Want{}, "vm.overcommit_memory", Low, "=0"},
		{"overcommit 2, room", files{"/proc/sys/vm/overcommit_memory": "2",
			"/proc/meminfo": meminfo(64<<20, 60<<20) + "CommitLimit: 20000000 kB\nCommitted_AS: 100000 kB\n"}, Want{}, "vm.overcommit_memory", OK, ""},
		{"memory small", files{"/proc/meminfo": meminfo(4<<20, 4<<20)}, Want{}, "memory", Low, "--max-connections"},
		{"memory in use", files{"/proc/meminfo": meminfo(8<<20, 1<<20)}, Want{}, "memory", Advice, ""},
		{"memory unknown", files{"/proc/meminfo": "-"}, Want{}, "memory", Unknown, ""},
		{"cgroup of a parent", files{"/sys/fs/cgroup/system.slice/memory.max": "2147483648"}, Want{}, "cgroup memory limit", Low, "MemoryMax="},
		{"cgroup enough", files{"/sys/fs/cgroup/system.slice/memory.max": "8589934592"}, Want{}, "cgroup memory limit", OK, ""},
		{"cgroup full", files{"/sys/fs/cgroup/system.slice/memory.max": "8589934592", "/sys/fs/cgroup/system.slice/memory.current": "8000000000"},
			Want{}, "cgroup memory limit", Advice, ""},
		{"cgroup unknown", files{"/proc/self/cgroup": "-"}, Want{}, "cgroup memory limit", Unknown, ""},
		{"pids", files{"/sys/fs/cgroup/system.slice/pids.max": "70"}, Want{}, "cgroup pids limit", Low, "TasksMax=80"},
		{"kernel old", files{"/proc/sys/kernel/osrelease": "4.3.9"}, Want{}, "kernel", Low, ""},
		{"kernel middling", files{"/proc/sys/kernel/osrelease": "5.15.0-91-generic"}, Want{}, "kernel", Advice, ""},
		{"kernel unknown", files{"/proc/sys/kernel/osrelease": "-"}, Want{}, "kernel", Unknown, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.want.Connections = million
			report := Examine(plainHost().with(tc.changes).host(16), tc.want)
			c := report.check(t, tc.setting)
			if c.Verdict != tc.verdict || !strings.Contains(c.Fix, tc.fix) {
				t.Errorf("%+v; want %s and the fix %q", c, tc.verdict, tc.fix)
			}
			for _, other := range report.Checks {
				if other.Setting != tc.setting && other.Bad() && !together(tc.setting, other.Setting) {
					t.Errorf("%s turned as well: %+v", other.Setting, other)
				}
			}
		})
	}
}

func conntrack(limit, used string) files {
	return files{"/proc/sys/net/netfilter/nf_conntrack_max": limit, "/proc/sys/net/netfilter/nf_conntrack_count": used}
}

// together lists the settings that may turn with another one: no fd tables, or
// all memory in use, and the loops that small tables take.
func together(a, b string) bool { return a == "fs.nr_open" && b == "nofile (hard)" }

func TestExamineEnough(t *testing.T) {
	for _, n := range []int{1, 10_000, 1_000_000} {
		report := Examine(plainHost().host(16), Want{Connections: n})
		for _, c := range report.Checks {
			if c.Bad() || c.Verdict == Unknown {
				t.Errorf("%d connections: %+v", n, c)
			}
		}
		if report.Private || report.Loops != 16 || report.Ports != PortsDefault {
			t.Errorf("%d connections: %+v", n, report)
		}
	}
}

// Ten million on an ordinary container: every limit that binds is named.
func TestExamineTenMillion(t *testing.T) {
	h := plainHost().with(files{"/proc/self/limits": limits("1024", "20000")}).host(2)
	report := Examine(h, Want{Connections: 10_000_000})
	if !report.Private || report.Loops != 552 || report.Lanes != 2 {
		t.Errorf("private %v, %d loops, %d lanes", report.Private, report.Loops, report.Lanes)
	}
	want := map[string]Verdict{
		"nofile (hard)": OK, "fs.file-max": OK, "fs.epoll.max_user_watches": OK, "memory": OK,
		"net.ipv4.tcp_mem": OK, "net.ipv4.tcp_ehash_entries": Advice, "net.ipv4.tcp_max_orphans": Advice,
	}
	for setting, verdict := range want {
		if c := report.check(t, setting); c.Verdict != verdict {
			t.Errorf("%+v, want %s", c, verdict)
		}
	}
}

// A host of which nothing can be read is unknown all over, and nothing of it
// crashes: no files, no file system, no permission.
func TestExamineNothing(t *testing.T) {
	for name, h := range map[string]Host{
		"empty": files{}.host(2), "nil": {}, "broken": {Proc: brokenFS{}, Sys: brokenFS{}, Cores: 2},
	} {
		for _, n := range []int{-5, 0, 1, 1 << 62} {
			report := Examine(h, Want{Connections: n, Ports: -1, Loops: -1})
			if report.Low() != 0 || report.count(Unknown) < 12 {
				t.Errorf("%s, %d: %d low, %d unknown", name, n, report.Low(), report.count(Unknown))
			}
			if n == 0 && report.Connections != connectionsUnknownHost {
				t.Errorf("%s: default of %d", name, report.Connections)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	if lines := Warnings(plainHost().host(16), Want{Connections: 1_000_000}); len(lines) != 0 {
		t.Errorf("a host with enough: %q", lines)
	}
	h := plainHost().with(files{
		"/proc/sys/fs/epoll/max_user_watches":    "500000",
		"/proc/sys/net/core/somaxconn":           "128",
		"/proc/sys/net/ipv4/tcp_max_orphans":     "1",   // rare: the doctor's
		"/proc/sys/net/ipv4/ip_local_port_range": "1 2", // the client's
		"/proc/meminfo":                          meminfo(64<<20, 2<<20),
	}).host(16)
	lines := Warnings(h, Want{Connections: 1_000_000})
	want := []string{
		"fs.epoll.max_user_watches is 500,000 and 1,000,000 connections need 1,030,000",
		"memory is 64.0 GiB and 1,000,000 connections need",
		"net.core.somaxconn is 128 and 1,000,000 connections need 4,096",
	}
	if len(lines) != len(want) {
		t.Fatalf("got %q", lines)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) || strings.Contains(line, "\n") {
			t.Errorf("got %q, want %q...", line, want[i])
		}
	}
	if !strings.HasSuffix(lines[0], ": sysctl -w fs.epoll.max_user_watches=1030000") {
		t.Errorf("no command in %q", lines[0])
	}
}

func TestPlan(t *testing.T) {
	h := plainHost().with(files{"/proc/self/limits": limits("19999", "20000")}).host(2)
	plan, err := Plan(h, Want{Connections: 1_000_000})
	if want := (FDPlan{Private: true, Loops: 54, Lanes: 2, PerLoopMax: 18_688}); err != nil || plan != want {
		t.Errorf("%+v, %v; want %+v", plan, err, want)
	}
	if plan, err := Plan(h, Want{Connections: 10, Ports: 1, Loops: 40_000}); err == nil {
		t.Errorf("more loops than the kernel allows became %+v", plan)
	}
	// fs.nr_open cuts the limit off, and a host that says nothing has enough.
	h = plainHost().with(files{"/proc/sys/fs/nr_open": "20000"}).host(2)
	if plan, err := Plan(h, Want{Connections: 100_000}); err != nil || !plan.Private {
		t.Errorf("nr_open: %+v, %v", plan, err)
	}
	if plan, err := Plan(files{}.host(2), Want{Connections: 10_000_000}); err != nil || plan.Private || plan.Loops != 2 {
		t.Errorf("unknown: %+v, %v", plan, err)
	}
}
