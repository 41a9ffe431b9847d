package tuning

import (
	"fmt"
	"math"
	"runtime"
	"slices"
)

// The values of --fd-tables.
const (
	FDAuto    = "auto"
	FDPrivate = "private"
	FDShared  = "shared"
)

// FDRequest is the question that [FDTables] answers.
type FDRequest struct {
	Mode        string // FDAuto (or empty), FDPrivate or FDShared
	Connections int    // --max-connections
	Nofile      int    // descriptors that one table may hold: the soft limit, once raised
	Ports       int    // listening ports
	Cores       int
	Loops       int // --loops; 0 chooses
}

// FDPlan says how descriptors are held.
type FDPlan struct {
	// Private is whether each loop needs a table of its own.
	Private bool
	// Loops is how many loops hold the connections.
	Loops int
	// Lanes is how many of them accept at a time (epoll.Config.Lanes), each with
	// a listener for every port: all of those that share a table, and one per
	// core where the tables make more loops than there are cores.
	Lanes int
	// PerLoopMax is how many connections fit into one loop's table (private),
	// or all of them into the one table (shared).
	PerLoopMax int
}

// FDTables decides whether the loops share the process's descriptor table or
// have one each, and how many loops that takes: one per core, more only if the
// tables need it. Loops that the operator set are kept or refused, never
// changed. The error is one sentence that says what to change.
func FDTables(r FDRequest) (FDPlan, error) {
	loops, chosen := r.Loops, false
	if loops == 0 {
		loops, chosen = max(r.Cores, 1), true
	}
	switch {
	case loops < 0 || r.Connections < 0 || r.Ports < 0:
		return FDPlan{}, fmt.Errorf("loops, connections and ports must not be negative: check --loops, --max-connections and --listen")
	case loops > listenersPerPortMax:
		return FDPlan{}, fmt.Errorf("--loops %s is more than the %s listeners that the kernel allows on one port: lower it",
			count(loops), count(listenersPerPortMax))
	}
	if !slices.Contains([]string{"", FDAuto, FDPrivate, FDShared}, r.Mode) {
		return FDPlan{}, fmt.Errorf("--fd-tables %q is none of auto, private and shared", r.Mode)
	}
	if shared, ok := sharedPlan(r, loops); ok && r.Mode != FDPrivate {
		return shared, nil
	}
	private, err := privatePlan(r, loops, chosen)
	if r.Mode == FDShared {
		return FDPlan{}, sharedError(r, loops, err == nil)
	}
	return private, err
}

// sharedFDs is how many descriptors one table for everything must hold.
func sharedFDs(connections, ports, loops int) int {
	return connections + ports*loops + fdsPerLoop*loops + fdReserve
}

func sharedPlan(r FDRequest, loops int) (plan FDPlan, ok bool) {
	need := sharedFDs(r.Connections, r.Ports, loops)
	if need > r.Nofile {
		return FDPlan{}, false
	}
	return FDPlan{Loops: loops, Lanes: loops, PerLoopMax: r.Nofile - (need - r.Connections)}, true
}

// sharedError says why one table does not do, and names only remedies that
// would help.
func sharedError(r FDRequest, loops int, privateFits bool) error {
	private := ""
	if privateFits {
		private = "use --fd-tables private, "
	}
	if r.Connections <= 1 {
		// Nobody asked for a number: it is the least that a server can hold.
		return tooLow(r, "one shared fd table", private, sharedFDs(1, r.Ports, loops), sharedFDs(1, 1, loops))
	}
	return fmt.Errorf("%s connections in one shared fd table need a nofile limit of %s and it is %s: %sraise the hard limit, or lower --max-connections",
		count(r.Connections), count(sharedFDs(r.Connections, r.Ports, loops)), count(r.Nofile), private)
}

// tooLow says that the nofile limit is below need, which is for a single
// connection, and on one port below needOnePort.
func tooLow(r FDRequest, tables, otherwise string, need, needOnePort int) error {
	ports := ""
	if needOnePort <= r.Nofile {
		ports = ", or listen on fewer ports with --listen"
	}
	return fmt.Errorf("the nofile limit of %s is too low for %s: %sraise the hard limit to at least %s%s",
		count(r.Nofile), tables, otherwise, count(need), ports)
}

// privateRoom is how many connections fit into one loop's own table: the rest
// goes to the listeners of the loop's lane (one per port) and to what it inherited
// from the main table before it left, which is the reserve and the wake-up eventfd
// of every loop, since each is made before its loop unshares. May be negative.
func privateRoom(nofile, ports, loops int) int {
	return nofile - ports - fdReserve - loops
}

// privateLanes is how many loops with tables of their own accept at a time: one per
// core, or down to half as many where the lanes have more room then, 0 if the loops
// are too few. The loops of a lane fill up one after the other, and the smallest
// lanes have loops/lanes of them: 72 loops are 36 lanes of two on 64 cores.
func privateLanes(r FDRequest, loops int) int {
	most := min(loops, max(r.Cores, 1))
	for lanes := most; lanes > most/2; lanes-- {
		if fullestLane(r.Connections, lanes) <= loops/lanes*privateRoom(r.Nofile, r.Ports, loops) {
			return lanes
		}
	}
	return 0
}

// fullestLane is how many connections the fullest of the lanes must have room
// for. The kernel picks the listener of a SO_REUSEPORT group by a hash of the
// addresses, so the fill of a lane is binomial with the mean N/lanes.
func fullestLane(connections, lanes int) int {
	mean := float64(connections) / float64(lanes)
	deviation := math.Sqrt(mean * (1 - 1/float64(lanes)))
	return int(math.Ceil(mean + spreadDeviations*deviation))
}

func privatePlan(r FDRequest, loops int, chosen bool) (FDPlan, error) {
	asked := loops
	if privateRoom(r.Nofile, r.Ports, loops) < 1 {
		return FDPlan{}, fmt.Errorf("a nofile limit of %s has no room for %s ports and %s loops: raise the hard limit above %s, or listen on fewer ports with --listen",
			count(r.Nofile), count(r.Ports), count(loops), count(r.Ports+fdReserve+loops))
	}
	fits := func(loops int) bool { return privateLanes(r, loops) > 0 }
	if chosen {
		loops = enoughLoops(r, loops, fits)
	}
	room := privateRoom(r.Nofile, r.Ports, loops)
	if fits(loops) {
		return FDPlan{Private: true, Loops: loops, Lanes: privateLanes(r, loops), PerLoopMax: room}, nil
	}
	if r.Connections <= 1 {
		least := fdReserve + asked + fullestLane(1, min(asked, max(r.Cores, 1)))
		return FDPlan{}, tooLow(r, "private fd tables", "", r.Ports+least, 1+least)
	}
	if chosen {
		return FDPlan{}, fmt.Errorf("no number of loops holds %s connections with a nofile limit of %s and %s ports: raise the hard limit, listen on fewer ports with --listen, or lower --max-connections",
			count(r.Connections), count(r.Nofile), count(r.Ports))
	}
	if enough := enoughLoops(r, loops, fits); fits(enough) {
		return FDPlan{}, fmt.Errorf("--loops %s is too few for %s connections with a nofile limit of %s, as one loop's table holds %s: use --loops %d or leave it out",
			count(loops), count(r.Connections), count(r.Nofile), count(room), enough)
	}
	return FDPlan{}, fmt.Errorf("--loops %s cannot hold %s connections with a nofile limit of %s and %s ports: raise the hard limit or lower --max-connections",
		count(loops), count(r.Connections), count(r.Nofile), count(r.Ports))
}

// enoughLoops returns the smallest number of loops, from loops up, that fits,
// or the last one tried. More loops cost each table an inherited eventfd, so
// the sum of all rooms has its peak where half of the room is eventfds, and
// looking further is in vain.
func enoughLoops(r FDRequest, loops int, fits func(int) bool) int {
	last := min(max(loops, (r.Nofile-r.Ports-fdReserve)/2), listenersPerPortMax)
	for loops < last && !fits(loops) {
		loops++
	}
	return loops
}

// GOMAXPROCS is what the runtime needs so that every loop's thread can run:
// with fewer, loops that are more than the cores wait for each other's P (56
// loops delivered half as much with 4 as with 64). Two more are for the bus
// and the collector.
func GOMAXPROCS(loops int) int {
	return max(loops+2, runtime.NumCPU())
}
