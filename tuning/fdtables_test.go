package tuning

import (
	"math/rand/v2"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestFDTables(t *testing.T) {
	for _, tc := range []struct {
		name    string
		request FDRequest
		want    FDPlan
		err     string // part of it; empty for none
	}{
		{"small in one table",
			FDRequest{Connections: 10_000, Nofile: 20_000, Ports: 1001, Cores: 2},
			FDPlan{Loops: 2, Lanes: 2, PerLoopMax: 20_000 - 2002 - 4 - 256}, ""},
		{"the last that fits one table",
			FDRequest{Connections: 17_738, Nofile: 20_000, Ports: 1001, Cores: 2},
			FDPlan{Loops: 2, Lanes: 2, PerLoopMax: 17_738}, ""},
		{"one more",
			FDRequest{Connections: 17_739, Nofile: 20_000, Ports: 1001, Cores: 2},
			FDPlan{Private: true, Loops: 2, Lanes: 2, PerLoopMax: 20_000 - 1001 - 256 - 2}, ""},
		{"a million needs 54 loops of 20,000",
			FDRequest{Mode: FDAuto, Connections: 1_000_000, Nofile: 20_000, Ports: 1001, Cores: 2},
			FDPlan{Private: true, Loops: 54, Lanes: 2, PerLoopMax: 18_689}, ""},
		{"loops that are no multiple of the cores",
			FDRequest{Connections: 1_300_000, Nofile: 20_000, Ports: 1001, Cores: 64},
			FDPlan{Private: true, Loops: 72, Lanes: 36, PerLoopMax: 18_671}, ""},
		{"ten million",
			FDRequest{Connections: 10_000_000, Nofile: 20_000, Ports: 1001, Cores: 2},
			FDPlan{Private: true, Loops: 552, Lanes: 2, PerLoopMax: 18_191}, ""},
		{"ten million with a high limit",
			FDRequest{Connections: 10_000_000, Nofile: 12_000_000, Ports: 1001, Cores: 32},
			FDPlan{Loops: 32, Lanes: 32, PerLoopMax: 12_000_000 - 32*1001 - 64 - 256}, ""},
		{"private by order",
			FDRequest{Mode: FDPrivate, Connections: 10, Nofile: 20_000, Ports: 1, Cores: 3},
			FDPlan{Private: true, Loops: 3, Lanes: 3, PerLoopMax: 20_000 - 1 - 256 - 3}, ""},
		{"loops kept",
			FDRequest{Connections: 1_000_000, Nofile: 20_000, Ports: 1001, Cores: 2, Loops: 60},
			FDPlan{Private: true, Loops: 60, Lanes: 2, PerLoopMax: 18_683}, ""},
		{"fewer loops than cores",
			FDRequest{Connections: 1000, Nofile: 20_000, Ports: 1, Cores: 8, Loops: 1},
			FDPlan{Loops: 1, Lanes: 1, PerLoopMax: 20_000 - 1 - 2 - 256}, ""},
		{"loops refused",
			FDRequest{Connections: 1_000_000, Nofile: 20_000, Ports: 1001, Cores: 2, Loops: 53},
			FDPlan{}, "use --loops 54"},
		{"an odd loop is of no use to two lanes",
			FDRequest{Connections: 1_020_000, Nofile: 20_000, Ports: 1001, Cores: 2, Loops: 55},
			FDPlan{}, "use --loops 56"},
		{"loops refused, and none would do",
			FDRequest{Connections: 1_000_000, Nofile: 1024, Ports: 1, Cores: 2, Loops: 4},
			FDPlan{}, "lower --max-connections"},
		{"shared refused",
			FDRequest{Mode: FDShared, Connections: 1_000_000, Nofile: 20_000, Ports: 1001, Cores: 2},
			FDPlan{}, "need a nofile limit of 1,002,262"},
		{"shared refused, and private ones would not do either",
			FDRequest{Mode: FDShared, Connections: 1000, Nofile: 512, Ports: 1001, Cores: 2},
			FDPlan{}, "and it is 512: raise the hard limit, or lower --max-connections"},
		{"nobody asked for one connection",
			FDRequest{Mode: FDShared, Connections: 1, Nofile: 256, Ports: 1, Cores: 4, Loops: 4},
			FDPlan{}, "the nofile limit of 256 is too low for one shared fd table: raise the hard limit to at least 269"},
		{"nor for none",
			FDRequest{Mode: FDShared, Nofile: 256, Ports: 1, Cores: 4},
			FDPlan{}, "the nofile limit of 256 is too low for one shared fd table: raise the hard limit to at least 269"},
		{"fewer ports would do",
			FDRequest{Mode: FDShared, Connections: 1, Nofile: 1024, Ports: 1001, Cores: 2},
			FDPlan{}, "too low for one shared fd table: raise the hard limit to at least 2,263, or listen on fewer ports with --listen"},
		{"private tables would do",
			FDRequest{Mode: FDShared, Connections: 1, Nofile: 1500, Ports: 1001, Cores: 2},
			FDPlan{}, "too low for one shared fd table: use --fd-tables private, raise the hard limit to at least 2,263, or listen on fewer ports"},
		{"private tables too small for one",
			FDRequest{Mode: FDPrivate, Connections: 1, Nofile: 262, Ports: 1, Cores: 4},
			FDPlan{}, "the nofile limit of 262 is too low for private fd tables: raise the hard limit to at least 264"},
		{"ports fill the table",
			FDRequest{Connections: 10, Nofile: 1024, Ports: 1001, Cores: 2},
			FDPlan{}, "raise the hard limit above 1,259"},
		{"no number of loops",
			FDRequest{Connections: 1_000_000, Nofile: 1024, Ports: 1, Cores: 2},
			FDPlan{}, "no number of loops"},
		{"more loops than listeners on a port",
			FDRequest{Connections: 10, Nofile: 1 << 30, Ports: 1, Cores: 2, Loops: 40_000},
			FDPlan{}, "--loops 40,000"},
		{"negative loops", FDRequest{Nofile: 1024, Loops: -1}, FDPlan{}, "negative"},
		{"no such mode", FDRequest{Mode: "some", Nofile: 1024}, FDPlan{}, `"some"`},
		{"unlimited", FDRequest{Connections: 1 << 32, Nofile: 1 << 62, Ports: 65535, Cores: 4},
			FDPlan{Loops: 4, Lanes: 4, PerLoopMax: 1<<62 - 4*65535 - 8 - 256}, ""},
		{"nothing known", FDRequest{Nofile: 1024}, FDPlan{Loops: 1, Lanes: 1, PerLoopMax: 1024 - 2 - 256}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := FDTables(tc.request)
			if got != tc.want || (err != nil) != (tc.err != "") {
				t.Fatalf("got %+v, error %v; want %+v", got, err, tc.want)
			}
			if err == nil {
				return
			}
			if s := err.Error(); !strings.Contains(s, tc.err) || strings.ContainsAny(s, "\n.") {
				t.Errorf("error %q is not one sentence with %q", s, tc.err)
			}
		})
	}
}

// The kernel's hash fills the lanes unevenly; no table may overflow, and the
// slack must not be half of the table either.
func TestFDTablesSpread(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for _, n := range []int{100_000, 1_000_000, 3_000_000} {
		plan, err := FDTables(FDRequest{Connections: n, Nofile: 20_000, Ports: 11, Cores: 3})
		if err != nil || !plan.Private || plan.Lanes < 2 {
			t.Fatalf("%d connections: %+v, error %v", n, plan, err)
		}
		fill := make([]int, plan.Lanes)
		for range n {
			fill[random.IntN(plan.Lanes)]++
		}
		for lane, c := range fill {
			// As epoll.Start divides the loops.
			loops := (lane+1)*plan.Loops/plan.Lanes - lane*plan.Loops/plan.Lanes
			if c > loops*plan.PerLoopMax {
				t.Errorf("seed %d: lane %d of %d got %d connections, its %d loops have room for %d each", seed, lane, plan.Lanes, c, loops, plan.PerLoopMax)
			}
		}
		if used := float64(n) / float64(plan.Loops*plan.PerLoopMax); used < 0.8 {
			t.Errorf("%d connections use %.2f of the tables", n, used)
		}
	}
}

// A loop fewer than was chosen must not do, or loops are wasted.
func TestFDTablesLeast(t *testing.T) {
	for n := 50_000; n < 5_000_000; n += 333_333 {
		r := FDRequest{Connections: n, Nofile: 20_000, Ports: 101, Cores: 2}
		plan, err := FDTables(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Loops = plan.Loops - 1
		if less, err := FDTables(r); err == nil {
			t.Errorf("%d connections: %d loops chosen, but %d do", n, plan.Loops, less.Loops)
		}
	}
}

func TestGOMAXPROCS(t *testing.T) {
	cores := runtime.NumCPU()
	for loops, want := range map[int]int{cores: cores + 2, 10_000: 10_002, 1: max(3, cores)} {
		if got := GOMAXPROCS(loops); got != want {
			t.Errorf("%d loops on %d cores: %d, want %d", loops, cores, got, want)
		}
	}
}

// What an error tells to do for a server that nobody gave a number does help,
// and it does not count a connection that nobody asked for.
func TestFDTablesRemedies(t *testing.T) {
	number := regexp.MustCompile(`raise the hard limit to at least ([\d,]+)`)
	for nofile := 1; nofile < 3000; nofile += 7 {
		for _, ports := range []int{1, 2, 1001} {
			for _, mode := range []string{FDShared, FDPrivate} {
				r := FDRequest{Mode: mode, Connections: 1, Nofile: nofile, Ports: ports, Cores: 4, Loops: 4}
				_, err := FDTables(r)
				if err == nil {
					continue
				}
				text := err.Error()
				if strings.Contains(text, "1 connections") {
					t.Errorf("%+v: %v", r, err)
				}
				private := r
				private.Mode = FDPrivate
				if _, err := FDTables(private); mode == FDShared && strings.Contains(text, "--fd-tables private") != (err == nil) {
					t.Errorf("%+v: %q, and private tables say %v", r, text, err)
				}
				found := number.FindStringSubmatch(text)
				if found == nil {
					if mode == FDShared {
						t.Errorf("%+v: %q names no limit", r, text)
					}
					continue
				}
				enough := r
				enough.Nofile, _ = strconv.Atoi(strings.ReplaceAll(found[1], ",", ""))
				if _, err := FDTables(enough); err != nil {
					t.Errorf("%+v: %q, and then %v", r, text, err)
				}
				fewer := r
				fewer.Ports = 1
				if _, err := FDTables(fewer); strings.Contains(text, "fewer ports") != (err == nil) {
					t.Errorf("%+v: %q, and one port says %v", r, text, err)
				}
			}
		}
	}
}
