package tuning

import (
	"math"
	"testing"
)

func TestNumber(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-262144": -262144, "max": math.MaxInt64, "unlimited": math.MaxInt64,
		"18446744073709551615": math.MaxInt64, "9223372036854775807": math.MaxInt64,
	} {
		if got, ok := number(text); !ok || got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "x", "1.5", "0x10", "-18446744073709551615"} {
		if got, ok := number(text); ok {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestNofileOfHost(t *testing.T) {
	for _, tc := range []struct {
		text string
		want Nofile
		ok   bool
	}{
		{limits("1024", "20000"), Nofile{1024, 20000}, true},
		{limits("1024", "unlimited"), Nofile{1024, math.MaxInt}, true},
		{limits("1024", ""), Nofile{}, false},
		{"Max open files  a  b  files\n", Nofile{}, false},
		{"", Nofile{}, false},
	} {
		got, ok := files{"/proc/self/limits": tc.text}.host(1).nofile()
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("%q: %+v, %v", tc.text, got, ok)
		}
	}
}

func TestAboveFileMax(t *testing.T) {
	const all, none = "CapEff:\t000001fffeffffff\n", "CapEff:\t0000000000000000\n"
	for _, tc := range []struct {
		name, uids, status string
		want               bool
	}{
		{"root of the host", "0 0 4294967295\n", all, true},
		{"user of the host", "0 0 4294967295\n", none, false},
		{"root of a user namespace", "0 100000 65536\n", all, false},
		{"all but that one", "0 0 4294967295\n", "CapEff:\t000001fffedfffff\n", false},
		{"part of the users", "0 0 65536\n", all, false},
		{"unknown map", "-", all, false},
		{"unknown capabilities", "0 0 4294967295\n", "-", false},
		{"garbage", "0 0 4294967295\n", "CapEff:\tzz\n", false},
	} {
		h := plainHost().with(files{"/proc/self/uid_map": tc.uids, "/proc/self/status": tc.status}).host(1)
		if got := h.aboveFileMax(); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

const (
	v2Mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	v1Mount = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
		"39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n" +
		"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
)

func TestCgroupMemory(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files files
		want  []cgroupLevel
	}{
		{"v2, own and parent", files{
			"/proc/self/cgroup":                 "0::/a/b\n",
			"/proc/self/mountinfo":              v2Mount,
			"/sys/fs/cgroup/a/b/memory.max":     "3000000\n",
			"/sys/fs/cgroup/a/b/memory.current": "700000\n",
			"/sys/fs/cgroup/a/b/memory.stat":    "anon 1\ninactive_file 200000\n",
			"/sys/fs/cgroup/a/memory.max":       "2000000\n",
		}, []cgroupLevel{{"/a/b", 3000000, 500000}, {"/a", 2000000, 0}}},
		{"v2, only the parent", files{
			"/proc/self/cgroup":             "0::/a/b\n",
			"/proc/self/mountinfo":          v2Mount,
			"/sys/fs/cgroup/a/b/memory.max": "max\n",
			"/sys/fs/cgroup/a/memory.max":   "2000000\n",
		}, []cgroupLevel{{"/a", 2000000, 0}}},
		{"v2, memory.high is lower", files{
			"/proc/self/cgroup":            "0::/a\n",
			"/proc/self/mountinfo":         v2Mount,
			"/sys/fs/cgroup/a/memory.max":  "2000000\n",
			"/sys/fs/cgroup/a/memory.high": "1000000\n",
		}, []cgroupLevel{{"/a", 1000000, 0}}},
		{"v2, in a cgroup namespace", files{
			"/proc/self/cgroup":         "0::/\n",
			"/proc/self/mountinfo":      v2Mount,
			"/sys/fs/cgroup/memory.max": "2000000\n",
		}, []cgroupLevel{{"/", 2000000, 0}}},
		{"v1", files{
			"/proc/self/cgroup":                                 "9:name=systemd:/\n4:memory:/box/1\n0::/\n",
			"/proc/self/mountinfo":                              v1Mount,
			"/sys/fs/cgroup/memory/memory.limit_in_bytes":       "9223372036854771712\n",
			"/sys/fs/cgroup/memory/box/1/memory.limit_in_bytes": "5000000\n",
			"/sys/fs/cgroup/memory/box/1/memory.usage_in_bytes": "900000\n",
			"/sys/fs/cgroup/memory/box/1/memory.stat":           "inactive_file 1\ntotal_inactive_file 300000\n",
		}, []cgroupLevel{{"/box/1", 5000000, 600000}}},
		{"v1, no limit", files{
			"/proc/self/cgroup":                           "4:memory:/\n",
			"/proc/self/mountinfo":                        v1Mount,
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, nil},
		{"v1, container that sees its own part only", files{
			"/proc/self/cgroup":                           "4:cpu,memory:/docker/abc/sub\n",
			"/proc/self/mountinfo":                        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,cpu,memory\n",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "7000000\n",
		}, []cgroupLevel{{"/", 7000000, 0}}},
		{"another root of the same beginning", files{
			"/proc/self/cgroup":                               "4:memory:/docker/abcdef\n",
			"/proc/self/mountinfo":                            "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"/sys/fs/cgroup/memory/def/memory.limit_in_bytes": "1\n", // somebody else's
			"/sys/fs/cgroup/memory/memory.limit_in_bytes":     "7000000\n",
		}, []cgroupLevel{{"/", 7000000, 0}}},
		{"used more than there is", files{
			"/proc/self/cgroup":             "0::/\n",
			"/proc/self/mountinfo":          v2Mount,
			"/sys/fs/cgroup/memory.max":     "100\n",
			"/sys/fs/cgroup/memory.current": "50\n",
			"/sys/fs/cgroup/memory.stat":    "inactive_file 80\n",
		}, []cgroupLevel{{"/", 100, 0}}},
		{"garbage", files{
			"/proc/self/cgroup":         "what\n0::\n",
			"/proc/self/mountinfo":      "1 2 3\n - \n- - -\n" + v2Mount,
			"/sys/fs/cgroup/memory.max": "lots\n",
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := tc.files.host(1).cgroupMemory()
			if !ok || len(got) != len(tc.want) {
				t.Fatalf("got %+v, %v", got, ok)
			}
			for i := range got {
				if got[i] != tc.want[i] {
					t.Errorf("level %d: %+v, want %+v", i, got[i], tc.want[i])
				}
			}
		})
	}
	if _, ok := (files{}).host(1).cgroupMemory(); ok {
		t.Error("known on a host without cgroup files")
	}
}

func TestCgroupPids(t *testing.T) {
	h := files{
		"/proc/self/cgroup":                      "8:pids:/box/1\n4:memory:/\n0::/\n",
		"/proc/self/mountinfo":                   v1Mount,
		"/sys/fs/cgroup/pids/box/1/pids.max":     "max\n",
		"/sys/fs/cgroup/pids/box/pids.max":       "100\n",
		"/sys/fs/cgroup/pids/box/1/pids.current": "3\n",
	}.host(1)
	got, ok := h.cgroupPids()
	if !ok || len(got) != 1 || got[0].Limit != 100 || got[0].Path != "/box" {
		t.Errorf("got %+v, %v", got, ok)
	}
}

func TestKernel(t *testing.T) {
	for release, want := range map[string][2]int{
		"6.18.44-fc-v657": {6, 18}, "5.10.0": {5, 10}, "4.4": {4, 4}, "7.0-rc1": {7, 0},
	} {
		_, major, minor, ok := files{"/proc/sys/kernel/osrelease": release}.host(1).kernel()
		if !ok || major != want[0] || minor != want[1] {
			t.Errorf("%s: %d.%d, %v", release, major, minor, ok)
		}
	}
	if _, _, _, ok := (files{"/proc/sys/kernel/osrelease": "six"}).host(1).kernel(); ok {
		t.Error("a version out of no digits")
	}
}
