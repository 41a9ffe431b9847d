package tuning

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// tableColumns is what the printed report fits into.
const tableColumns = 120

const noteIndent = "    "

// colours of the verdicts, used on a terminal only. The word is always there.
var colours = map[Verdict]string{
	OK: "\x1b[32m", Low: "\x1b[31;1m", Advice: "\x1b[33m", Unknown: "\x1b[35m",
}

// Print writes the report as a table for people.
func (r Report) Print(w io.Writer, colour bool) error {
	var b strings.Builder
	tables := "one fd table"
	if r.Private {
		tables = "a private fd table each"
	}
	fmt.Fprintf(&b, "%s connections, %s ports, %s loops with %s\n\n",
		count(r.Connections), count(r.Ports), count(r.Loops), tables)
	r.printChecks(&b, colour)
	r.printEstimate(&b)
	r.printSummary(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) printChecks(b *strings.Builder, colour bool) {
	head := Check{Setting: "SETTING", Now: "NOW", Need: "NEEDED", Verdict: "VERDICT"}
	var setting, now, need int
	for _, c := range append(r.Checks, head) {
		setting, now, need = max(setting, len(c.Setting)), max(now, len(c.Now)), max(need, len(c.Need))
	}
	row := func(c Check) {
		verdict := string(c.Verdict)
		if code := colours[c.Verdict]; colour && code != "" {
			verdict = code + verdict + "\x1b[0m"
		}
		fmt.Fprintf(b, "%-*s  %*s  %*s  %s\n", setting, c.Setting, now, c.Now, need, c.Need, verdict)
	}
	row(head)
	for _, c := range r.Checks {
		row(c)
		if c.Bad() {
			note(b, c.Why)
		}
		note(b, c.Remark)
		if c.Bad() && c.Fix != "" {
			note(b, "mend: "+c.Fix)
		}
	}
}

func note(b *strings.Builder, text string) {
	writeWrapped(b, text, tableColumns-len(noteIndent), noteIndent)
}

func (r Report) printEstimate(b *strings.Builder) {
	e := r.Estimate
	b.WriteString("\nMEMORY (estimate)\n")
	line := func(name string, bytes int64, how string) {
		fmt.Fprintf(b, "%-39s %10s   %s\n", name, size(bytes), how)
	}
	line("kernel, idle connections", e.KernelSockets, fmt.Sprintf("%s bytes each", count(kernelBytesPerConnection)))
	line("kernel, listeners", e.KernelListeners, fmt.Sprintf("%s bytes each, %s lanes x %s ports",
		count(kernelBytesPerListener), count(r.Lanes), count(r.Ports)))
	line("process, all on a few channels", e.Process, fmt.Sprintf("%s, %s a loop, %d bytes a connection",
		size(processBytesBase), size(processBytesPerLoop), processBytesPerConnection))
	line("process, each on a channel of its own", e.ProcessChannels, fmt.Sprintf("%d bytes a connection more", channelBytesPerConnection))
	line("total with channels of their own", e.Total, "what the host is held against")
	line("on top, during a broadcast, up to", e.Buffers, "socket buffers; idle connections hold none")
}

func (r Report) printSummary(b *strings.Builder) {
	b.WriteString("\n")
	note := func(format string, args ...any) {
		writeWrapped(b, fmt.Sprintf(format, args...), tableColumns, "")
	}
	note("This host as it is now takes %s connections, limited by %s.", count(r.Limit), r.Limiting)
	low, advice := r.Low(), r.count(Advice)
	switch {
	case low > 0:
		note("Not ready for %s connections: %d too low, %d to improve. doctor --apply sets what can be set while the host runs, doctor --sysctl prints a file that keeps it.",
			count(r.Connections), low, advice)
	case advice > 0:
		note("Ready for %s connections, with %d to improve: advice means that they are reached, but bursts or lookups suffer.",
			count(r.Connections), advice)
	default:
		note("Ready for %s connections.", count(r.Connections))
	}
	if unknown := r.count(Unknown); unknown > 0 {
		note("%d could not be read and may be too low.", unknown)
	}
}

func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
