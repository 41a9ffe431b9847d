package report

import (
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"c10m/bench/plot"
)

// Progress shows where a run is: as a bar on a terminal, as lines otherwise.
// One goroutine uses it.
type Progress struct {
	// Fixed after construction.
	w        io.Writer
	total    int
	terminal bool

	bar   *progressbar.ProgressBar // on a terminal, while a phase is on
	phase string
	shown Sample // of the last line
	any   bool   // whether there was one in this phase
}

// The phases of a Sample that mean something here.
const (
	phaseConnecting = "connecting" // has a total
	phaseMeasuring  = "measuring"  // its latencies are judged
)

// NewProgress writes to w, which is a terminal or not; total is the number of
// connections.
func NewProgress(w io.Writer, total int) *Progress {
	file, ok := w.(*os.File)
	return &Progress{w: w, total: total, terminal: ok && term.IsTerminal(int(file.Fd()))}
}

// Phase begins a phase: connecting, measuring and so on.
func (p *Progress) Phase(name string) {
	if name == p.phase {
		return
	}
	p.end()
	p.phase, p.any = name, false
	if !p.terminal {
		return
	}
	most := -1 // a spinner: nobody knows how much is to come
	if name == phaseConnecting && p.total > 0 {
		most = p.total
	}
	p.bar = progressbar.NewOptions(most,
		progressbar.OptionSetWriter(p.w),
		progressbar.OptionSetWidth(barColumns),
		// With ANSI codes it does not clear the rest of a line that got shorter.
		progressbar.OptionUseANSICodes(false),
		progressbar.OptionSetDescription(name),
		// Without an interval there is no goroutine that draws on its own.
		progressbar.OptionSetSpinnerChangeInterval(0))
}

// Update shows a sample. Without a terminal it does so once a second, and only
// while something happens.
func (p *Progress) Update(s Sample) {
	if s.Phase != "" {
		p.Phase(s.Phase)
	}
	if p.terminal {
		p.draw(&s)
		return
	}
	changed := !p.any || s.Open != p.shown.Open || s.Connects > 0 || s.Deliveries > 0
	if !changed || p.any && s.Seconds-p.shown.Seconds < lineSecondsMin {
		return
	}
	p.any, p.shown = true, s
	fmt.Fprintf(p.w, "%7.1fs  %-10s  %s\n", s.Seconds, p.phase, p.text(&s))
}

// draw moves the bar.
func (p *Progress) draw(s *Sample) {
	if p.bar == nil {
		p.Phase("running")
	}
	p.bar.Describe(p.phase + "  " + p.text(s))
	if p.bar.GetMax() > 0 {
		p.bar.Set(min(s.Open, p.total))
	} else {
		p.bar.Add(1)
	}
}

// text is a sample in a few words, without what is not known.
func (p *Progress) text(s *Sample) string {
	text := fmt.Sprintf("%s of %s open", Count(s.Open), Count(p.total))
	if s.Connects > 0 {
		text += fmt.Sprintf(", %s connects/s", Number(s.Connects))
	}
	if s.Deliveries > 0 {
		text += fmt.Sprintf(", %s deliveries/s, mean %s", Number(s.Deliveries), plot.Text(plot.Millis, s.MeanMillis))
	}
	if !p.terminal && s.ServerResident > 0 {
		text += fmt.Sprintf(", server %s", size(s.ServerResident))
	}
	return text
}

// Done ends the last phase, and leaves the cursor in a new line.
func (p *Progress) Done() {
	p.end()
	p.phase = ""
}

func (p *Progress) end() {
	if p.bar != nil {
		p.bar.Exit()
		p.bar = nil
		fmt.Fprintln(p.w)
	}
}
