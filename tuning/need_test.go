package tuning

import (
	"strings"
	"testing"
)

// The needs at three sizes, written out. A change of a formula has to be
// looked at here.
func TestNeeds(t *testing.T) {
	small := load{connections: 10_000, ports: 1001, loops: 2, lanes: 2, cores: 2}
	large := load{connections: 1_000_000, ports: 1001, loops: 16, lanes: 16, cores: 16}
	huge := load{connections: 10_000_000, ports: 1001, loops: 552, lanes: 2, cores: 2, private: true}
	for _, tc := range []struct {
		name               string
		need               func(load) int64
		small, large, huge int64
	}{
		{"fs.file-max", load.needFiles, 77_600, 1_090_000, 10_100_000},
		{"max_user_watches", load.needWatches, 16_200, 1_030_000, 10_100_000},
		{"somaxconn", load.needBacklog, 1024, 4096, 65_535},
		{"tcp_max_syn_backlog", load.needSynBacklog, 1370, 5470, 87_400},
		{"tcp_mem", load.needTCPPages, 10_400, 440_000, 450_000},
		{"ehash", load.needHash, 4096, 262_144, 4_194_304},
		{"tcp_max_orphans", load.needOrphans, 10_000, 1_000_000, 10_000_000},
		{"tcp_max_tw_buckets", load.needTimeWait, 10_000, 1_000_000, 10_000_000},
		{"netdev_max_backlog", load.needNetdevBacklog, 16_384, 16_384, 16_384},
		{"nf_conntrack_max", load.needConntrack, 78_100, 1_320_000, 12_600_000},
		{"vm.max_map_count", load.needMaps, 2020, 2380, 8860},
		{"threads", load.needThreads, 66, 80, 616},
	} {
		for _, at := range []struct {
			load load
			want int64
		}{{small, tc.small}, {large, tc.large}, {huge, tc.huge}} {
			if got := tc.need(at.load); got != at.want {
				t.Errorf("%s for %d connections: %d, want %d", tc.name, at.load.connections, got, at.want)
			}
		}
	}
}

// Nothing overflows at the largest number, and more connections never need
// less, which DefaultMaxConnections relies on.
func TestNeedsGrow(t *testing.T) {
	for name, need := range map[string]func(load) int64{
		"files": load.needFiles, "watches": load.needWatches, "backlog": load.needBacklog,
		"tcp": load.needTCPPages, "hash": load.needHash, "netdev": load.needNetdevBacklog,
		"conntrack": load.needConntrack, "maps": load.needMaps,
		"memory": func(l load) int64 { return l.estimate().Total },
	} {
		last := int64(1)
		for n := int64(1); n <= ConnectionsMax; n *= 2 {
			got := need(load{connections: n, ports: 65535, loops: 4, lanes: 4, cores: 4})
			if got < last {
				t.Errorf("%s: %d connections need %d, fewer need %d", name, n, got, last)
			}
			last = got
		}
	}
}

func TestEstimate(t *testing.T) {
	got := load{connections: 1_000_000, ports: 1001, loops: 54, lanes: 2, cores: 2}.estimate()
	want := Estimate{
		KernelSockets:   4_029_000_000,
		KernelListeners: 2*1001*4030 + 1001*2304,
		Process:         24<<20 + 54<<16 + 64_000_000,
		ProcessChannels: 24<<20 + 54<<16 + 164_000_000,
		Buffers:         90_000 * 4096,
	}
	want.Total = want.KernelSockets + want.KernelListeners + want.ProcessChannels
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestText(t *testing.T) {
	for v, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1,000", -262144: "-262,144", 10_000_000: "10,000,000",
		9223372036854775807: "unlimited",
	} {
		if got := count(v); got != want {
			t.Errorf("count(%d): %s", v, got)
		}
	}
	for v, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 25 << 20: "25.0 MiB", 300 << 20: "300 MiB", 41 << 30: "41.0 GiB",
	} {
		if got := size(v); got != want {
			t.Errorf("size(%d): %s, want %s", v, got, want)
		}
	}
	for v, want := range map[int64]int64{0: 0, 1: 1, 999: 999, 1000: 1000, 1001: 1010, 1_067_541: 1_070_000} {
		if got := roundUp(v); got != want {
			t.Errorf("roundUp(%d): %d, want %d", v, got, want)
		}
	}
	var wrapped strings.Builder
	writeWrapped(&wrapped, "", 5, "# ")
	writeWrapped(&wrapped, "aa bb ccccccc d", 5, "# ")
	if got := wrapped.String(); got != "# aa bb\n# ccccccc\n# d\n" {
		t.Errorf("wrapped: %q", got)
	}
}
