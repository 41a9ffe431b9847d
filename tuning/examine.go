package tuning

import (
	"fmt"
	"strconv"
	"strings"
)

// Verdict is the outcome for one setting.
type Verdict string

const (
	OK Verdict = "ok"
	// Low: the connections asked for are not reached.
	Low Verdict = "low"
	// Advice: they are reached, but bursts or lookups suffer.
	Advice Verdict = "advice"
	// Unknown: the host does not say.
	Unknown Verdict = "unknown"
	// NotNeeded: the setting does not bind this server on this host.
	NotNeeded Verdict = "not needed"
)

// Check is one setting of the host held against what is wanted of it.
type Check struct {
	Setting string  `json:"setting"` // as sysctl(8) names it, where it can
	Now     string  `json:"now"`
	Need    string  `json:"need"`
	Verdict Verdict `json:"verdict"`
	// Why is what happens if it is too low.
	Why string `json:"why"`
	// Remark is worth knowing whatever the verdict is.
	Remark string `json:"remark,omitempty"`
	// Fix is the command, or the thing to do, that mends it.
	Fix string `json:"fix,omitempty"`
	// Value is what can be written into the sysctl of that name while the
	// host runs; empty if that is not the way.
	Value string `json:"value,omitempty"`
	// Above is whether the setting is higher than Value already.
	Above bool `json:"above,omitempty"`

	// Warned about at the server's start if Verdict is Advice; Low always is.
	warn bool
}

// Bad is whether something should be done about it.
func (c Check) Bad() bool { return c.Verdict == Low || c.Verdict == Advice }

// Report is the outcome of an examination.
type Report struct {
	Connections int      `json:"connections"`
	Ports       int      `json:"ports"`
	Loops       int      `json:"loops"`
	Lanes       int      `json:"lanes"` // loops that accept at a time
	Private     bool     `json:"privateFDTables"`
	Checks      []Check  `json:"checks"`
	Estimate    Estimate `json:"estimate"`
	// Limit is what memory and limits allow, Limiting which one it is.
	Limit    int    `json:"limit"`
	Limiting string `json:"limiting"`
}

// Low counts the settings that keep the host from carrying what is wanted.
func (r Report) Low() int { return r.count(Low) }

func (r Report) count(v Verdict) int {
	n := 0
	for _, c := range r.Checks {
		if c.Verdict == v {
			n++
		}
	}
	return n
}

type examination struct {
	host    Host
	want    Want
	load    load
	plan    FDPlan
	planErr error
	// nofile is how many descriptors a table may hold; nofileKnown is false if
	// the host does not say, and the plan then takes it to be enough.
	nofile      Nofile
	nofileKnown bool
	limit       int
	limiting    string
	checks      []Check
}

// Examine holds every setting of the host that matters to the server against
// what so many connections need. It only reads.
func Examine(host Host, want Want) Report {
	x := &examination{host: host, want: normal(want)}
	x.host.Cores = max(host.Cores, 1)
	x.nofile, x.nofileKnown = host.nofile()
	x.limit, x.limiting = DefaultMaxConnections(x.host, x.want)
	if x.want.Connections == 0 {
		x.want.Connections = x.limit
	}
	x.plan, x.planErr = FDTables(x.host.fdRequest(x.want))
	if x.planErr != nil {
		// Examine the rest all the same, as if the plan were the plain one.
		loops := max(x.want.Loops, x.host.Cores)
		x.plan = FDPlan{Loops: loops, Lanes: loops}
	}
	x.load = loadOf(x.host, x.want, x.plan)
	x.descriptors()
	x.memory()
	x.queues()
	x.tables()
	x.system()
	return Report{
		Connections: x.want.Connections, Ports: x.want.Ports, Loops: x.plan.Loops, Lanes: x.plan.Lanes,
		Private: x.plan.Private, Checks: x.checks, Estimate: x.load.estimate(),
		Limit: x.limit, Limiting: x.limiting,
	}
}

func normal(w Want) Want {
	w.Connections = min(max(w.Connections, 0), ConnectionsMax)
	w.Loops = min(max(w.Loops, 0), listenersPerPortMax)
	if w.Ports <= 0 {
		w.Ports = PortsDefault
	}
	if w.Listen == nil {
		for port := portDefault; port <= min(portDefault+w.Ports-1, portMax); port++ {
			w.Listen = append(w.Listen, port)
		}
	}
	w.Ports = min(w.Ports, portMax)
	if w.FDTables == "" {
		w.FDTables = FDAuto
	}
	return w
}

func loadOf(h Host, w Want, p FDPlan) load {
	return load{
		connections: int64(w.Connections), ports: int64(w.Ports), loops: int64(p.Loops), lanes: int64(p.Lanes),
		cores: int64(max(h.Cores, 1)), private: p.Private,
	}
}

// Plan decides how the descriptors of so many connections are held on the
// host, which is [FDTables] with the host's own limits. Call it after
// [RaiseNofile].
func Plan(host Host, want Want) (FDPlan, error) {
	if want.Ports == 0 {
		want.Ports = PortsDefault
	}
	return FDTables(host.fdRequest(want))
}

// fdRequest asks for the plan with the limit that one table really has: the
// one to which the server raises its soft limit, and fs.nr_open, which cuts it
// off wherever it stands. Unknown limits are taken to be enough.
func (h Host) fdRequest(w Want) FDRequest {
	r := FDRequest{
		Mode: w.FDTables, Connections: w.Connections, Ports: w.Ports,
		Cores: h.Cores, Loops: w.Loops, Nofile: 1 << 62,
	}
	if n, ok := h.nofile(); ok {
		r.Nofile = min(r.Nofile, n.raised())
	}
	if v, ok := h.sysctl("fs.nr_open"); ok {
		r.Nofile = min(r.Nofile, int(v))
	}
	return r
}

// enough adds the check of a sysctl of which why is all there is to say.
func (x *examination) enough(setting string, need int64, grade Verdict, why string) {
	x.atLeast(Check{Setting: setting, Why: why}, need, grade)
}

// atLeast adds the check of a sysctl that must be at least need; if it is less
// the verdict is grade.
func (x *examination) atLeast(c Check, need int64, grade Verdict) {
	now, ok := x.host.sysctl(c.Setting)
	x.judge(c, now, ok, need, grade)
}

// judge fills in and adds a check whose setting is one number.
func (x *examination) judge(c Check, now int64, ok bool, need int64, grade Verdict) {
	c.Now, c.Need, c.Verdict = told(now, ok), count(need), OK
	switch {
	case !ok:
		c.Verdict = Unknown
	case now < need:
		c.Verdict = grade
	}
	c.Above = ok && now > need
	x.sysctl(c, need)
}

// sysctl adds a check with the value and the command that mend it.
func (x *examination) sysctl(c Check, values ...int64) {
	c.Value = strings.Trim(fmt.Sprint(values), "[]")
	c.Fix = "sysctl -w " + c.Setting + "=" + c.Value
	if len(values) > 1 {
		c.Fix = "sysctl -w " + c.Setting + "=" + strconv.Quote(c.Value)
	}
	x.add(c)
}

func (x *examination) add(c Check) { x.checks = append(x.checks, c) }
