package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"c10m/bench/plot"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"millis":  millis,
	"count":   Count[uint64],
	"verdict": verdict,
}).Parse(pageText))

// pageData is what page.html is filled with.
type pageData struct {
	*Result
	Style     template.CSS
	Program   string
	Title     string
	When      string
	CommandIs string
	HostIs    string
	Verdict   string
	Good      bool
	Tiles     []tile
	Charts    []template.HTML
	Latencies []latency
	Groups    []group
	Remark    string
}

// A tile is a headline figure.
type tile struct{ Name, Value, Note string }

// HTML writes r as one page that needs nothing else. An error is one of w's.
func HTML(w io.Writer, r *Result) error {
	d := &pageData{
		Result:    r,
		Style:     template.CSS(pageStyle + plot.CSS()), // both are files of this repository
		Program:   program(r),
		Title:     scenarioLine(r),
		CommandIs: commandLine(r.Command),
		HostIs:    hostLine(&r.Host),
		Tiles:     tiles(r),
		Latencies: latencies(r),
		Groups:    figures(r),
	}
	if !r.Started.IsZero() {
		d.When = r.Started.UTC().Format("2 January 2006, 15:04 UTC")
	}
	if r.UserSpace != nil {
		d.Remark = UserSpaceRemark
	}
	d.Verdict, d.Good = conclusion(r)
	for _, c := range charts(r) {
		d.Charts = append(d.Charts, template.HTML(c.Inline())) // package plot escapes the names
	}
	return page.Execute(w, d)
}

// program is what ran, by its command.
func program(r *Result) string {
	if len(r.Command) == 0 {
		return "10m-client"
	}
	return filepath.Base(r.Command[0])
}

// conclusion is the run in a sentence.
func conclusion(r *Result) (sentence string, good bool) {
	failed := 0
	for _, c := range r.Criteria {
		if !c.Pass {
			failed++
		}
	}
	switch {
	case r.Fault != "":
		return "Something went wrong: " + r.Fault + ".", false
	case failed > 0:
		return fmt.Sprintf("%d of %d criteria failed.", failed, len(r.Criteria)), false
	case len(r.Criteria) > 0:
		return fmt.Sprintf("All %d criteria passed.", len(r.Criteria)), true
	case r.Connections.Opened == 0:
		return "", true // nothing was measured, so nothing is said
	}
	return "Nothing went wrong.", true
}

// tiles are the headline figures: how many, how fast, how late, how much.
func tiles(r *Result) (list []tile) {
	c, u := &r.Connections, &r.Usage
	add := func(name, value string, notes ...string) {
		notes = slices.DeleteFunc(notes, func(s string) bool { return s == "" })
		list = append(list, tile{name, value, strings.Join(notes, ", ")})
	}
	known := func(is bool, format string, args ...any) string {
		if !is {
			return ""
		}
		return fmt.Sprintf(format, args...)
	}
	add("connections", Count(c.Opened), known(c.Opened != c.Wanted, "of %s asked for", Count(c.Wanted)),
		known(c.PerSecond > 0, "%s a second", Number(c.PerSecond)))
	for i := range r.Streams {
		s := &r.Streams[i]
		if s.PerSecond > 0 {
			exact := wrong(s)
			if exact == "" && s.Delivered == s.Expected {
				exact = ", each once and in order"
			}
			add(s.Name+" deliveries a second", Number(s.PerSecond), Count(s.Delivered)+" of "+Count(s.Expected)+exact)
		}
		if s.Latency.Count > 0 {
			add(s.Name+" latency, p99", plot.Text(plot.Millis, s.Latency.P99Millis),
				"p50 "+plot.Text(plot.Millis, s.Latency.P50Millis), "longest "+plot.Text(plot.Millis, s.Latency.MaxMillis))
		}
	}
	if s := r.Storm; s != nil && s.RecoverySeconds > 0 {
		add("until all were back", Number(s.RecoverySeconds)+" s", Count(s.Dropped)+" dropped at once",
			known(s.ServedSeconds > 0, "all served after %s s", Number(s.ServedSeconds)))
	}
	if p := r.Posts; p != nil {
		add("posts a second", Number(p.PerSecond), Count(p.Refused)+" refused")
	}
	if d := r.Disconnect; d != nil && d.LetGoSeconds > 0 {
		add("until the server had let go", Number(d.LetGoSeconds)+" s", Count(d.Ended)+" ended at once",
			known(d.MemorySeconds > 0, "memory back after %s s", Number(d.MemorySeconds)))
	}
	if u.ServerPerConn > 0 {
		add("server memory per connection", perConn(u.ServerPerConn), known(u.HostPerConn > 0, "whole host, both ends: %s", perConn(u.HostPerConn)))
	} else if u.HostPerConn > 0 {
		add("host memory per connection", perConn(u.HostPerConn), "both ends")
	}
	if u.ServerCores > 0 {
		add("cores of the server", Number(u.ServerCores), known(u.ClientCores > 0, "client %s", Number(u.ClientCores)),
			known(u.HostCores > 0, "host %s of %s", Number(u.HostCores), Count(r.Host.Cores)))
	}
	return list
}
