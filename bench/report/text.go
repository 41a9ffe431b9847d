package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Text writes r for people, the most important first. It returns nothing, as
// the terminal is where an error would have been told.
func Text(w io.Writer, r *Result) {
	t := &texter{w: w}
	took := ""
	if r.Seconds > 0 {
		took = fmt.Sprintf(", %s s", Number(r.Seconds))
	}
	t.line("run", "%s%s", scenarioLine(r), took)
	if r.Fault != "" {
		t.line("WRONG", "%s", r.Fault)
	}
	for _, sentence := range r.Bottlenecks {
		t.last = "" // each with its name
		t.line("beware", "%s", sentence)
	}
	t.criteria(r.Criteria)
	t.connections(&r.Connections)
	for i := range r.Streams {
		t.stream(&r.Streams[i])
	}
	t.comingAndGoing(r)
	t.soak(r.Soak)
	if r.UserSpace != nil {
		t.group("user space", userSpaceFigures(r.UserSpace))
		t.line("user space", "%s", UserSpaceRemark)
	}
	t.latencies(latencies(r))
	t.group("memory", memoryFigures(&r.Usage))
	t.group("cores", usageFigures(&r.Usage))
	if host := hostLine(&r.Host); host != "" {
		t.line("host", "%s", host)
	}
	if len(r.Command) > 0 {
		t.raw("command", commandLine(r.Command)) // in one piece, to be copied
		t.raw("commit", r.commit())
	}
}

// scenarioLine is what a run was, in a line.
func scenarioLine(r *Result) string {
	text := r.Scenario
	if text == "" {
		text = "load"
	}
	return text + " with " + plural(uint64(max(r.Connections.Wanted, 0)), "connection")
}

// A texter writes lines with a name in a column of its own.
type texter struct {
	w    io.Writer
	last string
}

// raw leaves out a name that is the same as in the line before.
func (t *texter) raw(name, text string) {
	shown := name
	if t.last == name {
		shown = ""
	}
	t.last = name
	fmt.Fprintf(t.w, "%-*s %s\n", nameColumns, shown, text)
}

// line breaks what is longer than a line of text should be.
func (t *texter) line(name, format string, args ...any) {
	rest := fmt.Sprintf(format, args...)
	for len(rest) > textColumnsMax {
		end := strings.LastIndexByte(rest[:textColumnsMax+1], ' ')
		if end <= 0 {
			break
		}
		t.raw(name, rest[:end])
		rest = rest[end+1:]
	}
	t.raw(name, rest)
}

func (t *texter) criteria(criteria []Criterion) {
	names := 0
	for _, c := range criteria {
		names = max(names, len(c.Name))
	}
	for _, c := range criteria {
		t.raw("criteria", fmt.Sprintf("%s  %-*s  %s (wanted: %s)", verdict(c), names, c.Name, c.Got, c.Wanted))
	}
}

func verdict(c Criterion) string {
	if c.Pass {
		return "pass"
	}
	return "FAIL"
}

func (t *texter) connections(c *Connections) {
	text := fmt.Sprintf("%s of %s opened", Count(c.Opened), Count(c.Wanted))
	if c.Seconds > 0 {
		text += fmt.Sprintf(" in %s s", Number(c.Seconds))
	}
	if c.PerSecond > 0 {
		text += fmt.Sprintf(", %s a second", Number(c.PerSecond))
	}
	t.line("connections", "%s; %s open at the end", text, Count(c.Open))
	// Only what went wrong is left to say, and most of it did not.
	var rest []string
	for _, f := range connectionFigures(c).Figures {
		switch f.Name {
		case "asked for", "opened", "open at the end", "time to connect", "connects a second", "for example":
		default:
			if f.Value != "0" {
				rest = append(rest, f.Name+" "+f.Value)
			}
		}
	}
	if len(rest) > 0 {
		t.line("connections", "%s", strings.Join(rest, ", "))
	}
	if c.Problem != "" {
		t.line("connections", "for example: %s", c.Problem)
	}
}

// stream says first whether all arrived; how fast means little without that.
func (t *texter) stream(s *Stream) {
	rate := ""
	if s.PerSecond > 0 {
		rate = fmt.Sprintf("; %s deliveries a second", Number(s.PerSecond))
	}
	t.line(s.Name, "%s of %s delivered%s", Count(s.Delivered), Count(s.Expected), rate)
	how := ""
	switch {
	case s.Rate > 0:
		how = fmt.Sprintf(", %s a second", Number(s.Rate))
	case s.InFlight > 0:
		how = fmt.Sprintf(", %s under way at a time", Count(s.InFlight))
	}
	t.line(s.Name, "%s of %s bytes to %s each%s", plural(s.Published, "message"), Count(s.PayloadBytes),
		plural(uint64(max(s.Subscribers, 0)), "connection"), how)
	t.line(s.Name, "lost %s, duplicated %s, out of order %s, corrupt %s", Count(s.Lost), Count(s.Duplicated), Count(s.OutOfOrder), Count(s.Corrupt))
}

// comingAndGoing is what storms, churns, disconnects and posts did.
func (t *texter) comingAndGoing(r *Result) {
	for _, g := range figures(r) {
		switch g.Name {
		case "Storm", "Churn", "Disconnect", "Posts":
			t.group(strings.ToLower(g.Name), g)
		}
	}
}

// group writes figures in one line.
func (t *texter) group(name string, g group) {
	parts := make([]string, len(g.Figures))
	for i, f := range g.Figures {
		parts[i] = f.Name + " " + f.Value
	}
	if len(parts) > 0 {
		t.line(name, "%s", strings.Join(parts, "; "))
	}
}

// latencies writes a table in columns.
func (t *texter) latencies(list []latency) {
	if len(list) == 0 {
		return
	}
	b := &strings.Builder{}
	table := tabwriter.NewWriter(b, 9, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "p50\tp90\tp99\tp99.9\tmax\tmean\t  in ms")
	for _, l := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t  %s\n", millis(l.P50Millis), millis(l.P90Millis), millis(l.P99Millis),
			millis(l.P999Millis), millis(l.MaxMillis), millis(l.MeanMillis), l.Name)
	}
	table.Flush()
	for line := range strings.Lines(b.String()) {
		t.raw("latency", strings.TrimRight(line, "\n"))
	}
}

// JSON writes r as one indented object. An error is one of w's, or a figure
// that JSON cannot say (NaN).
func JSON(w io.Writer, r *Result) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}
