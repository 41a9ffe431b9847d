package main

import (
	"fmt"
	"io"
	"strings"

	"c10m/bench/report"
)

// differences are what c10m does by itself and its peers do not, and so is in its
// figures, not in theirs.
const differences = "What is different about c10m: it binds a loop to each processor, and a new connection comes to the loop of the processor " +
	"that its packets come in on (`--pin auto`). The row `--pin off` does without. No peer does either; each runs as its authors start it. " +
	"c10m and gobwas/ws on epoll read and write in loops, the others in goroutines or processes. With the embedded bus a message takes one hop " +
	"less than with a Redis, which all baselines but nchan and NATS have. c10m puts the messages that a connection lacks into one system call, " +
	"which counts with eight under way; \"for each core\" is by the processor time of all processes of the server: an embedded bus is in it, a Redis or a bridge is not.\n"

// markdown writes the table, who was busy, and why somebody failed.
func (c *comparison) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s connections to each server, %d-byte messages, %.0f s each, ", report.Count(c.Connections), c.Bytes, c.Seconds)
	if c.Rounds == 1 {
		b.WriteString("one round.")
	} else {
		fmt.Fprintf(&b, "medians of %d rounds, and the worst of them in brackets.", c.Rounds)
	}
	fmt.Fprintf(&b, " Client and server share %d cores and %.0f GiB; Linux %s, %s, hard nofile limit %s. %s.\n\n    %s\n\n",
		c.Host.Cores, float64(c.Host.MemoryBytes)/(1<<30), c.Host.Kernel, c.Host.Go, report.Count(c.Host.NofileHard),
		c.Started.UTC().Format("2006-01-02"), strings.Join(c.Command, " "))
	reasons := c.table(&b)
	b.WriteString("\nThe best of each column is bold. A server that fails a scenario has no figure of it. " +
		"c10m spreads its pings over their 5 minutes, so its idle time has some; most others send theirs 5 minutes after the connect, which is after the run.\n\n" +
		differences)
	for i, reason := range reasons {
		fmt.Fprintf(&b, "\n%d. %s\n", i+1, reason)
	}
	c.busy(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// table writes a row for each server and returns the reasons that it refers
// to.
func (c *comparison) table(b *strings.Builder) (reasons []string) {
	b.WriteString("| server | version |")
	for _, m := range metrics {
		fmt.Fprintf(b, " %s |", m.title)
	}
	b.WriteString(" lost |\n|---|---|" + strings.Repeat("---:|", len(metrics)+1) + "\n")
	for _, s := range c.Servers {
		fmt.Fprintf(b, "| %s | %s |", s.Title, s.Version)
		for _, m := range metrics {
			k := c.cell(s.Name, m)
			text := "not measured"
			switch {
			case k.known && m.text(k.value) == c.best(m):
				text = "**" + m.text(k.value) + "**"
			case k.known:
				text = m.text(k.value)
			case len(k.failed) > 0:
				text = "fails"
			}
			if k.rounds > 1 {
				text += " [" + m.text(k.worst) + "]"
			}
			if len(k.failed) > 0 {
				text += fmt.Sprintf(" (%d)", note(&reasons, s.Title, k.failed))
			}
			fmt.Fprintf(b, " %s |", text)
		}
		fmt.Fprintf(b, " %s |\n", report.Count(c.lost(s.Name)))
	}
	return reasons
}

// note adds the reason why rounds failed, unless it is there, and returns its
// number.
func note(reasons *[]string, title string, failed []*outcome) int {
	o := failed[0]
	text := fmt.Sprintf("%s, %s", title, o.Scenario)
	if len(failed) > 1 || o.Round > 1 {
		rounds := make([]string, len(failed))
		for i, one := range failed {
			rounds[i] = fmt.Sprint(one.Round)
		}
		text += ", round " + strings.Join(rounds, ", ")
	}
	text += ": " + strings.NewReplacer("\n", " ", "|", "/").Replace(o.Reason)
	for i, known := range *reasons {
		if known == text {
			return i + 1
		}
	}
	*reasons = append(*reasons, text)
	return len(*reasons)
}

// busy tells who used the cores, since a server beside an idle core was held
// up by something else.
func (c *comparison) busy(b *strings.Builder) {
	type load struct{ server, client, host []float64 }
	b.WriteString("\nCores used by the server (all its processes), by the client and by the whole host while messages flow:\n\n| server |")
	var columns []string
	for _, t := range scenarios {
		if t.publishes {
			columns = append(columns, t.name)
			fmt.Fprintf(b, " %s |", t.name)
		}
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, s := range c.Servers {
		fmt.Fprintf(b, "| %s |", s.Title)
		for _, scenario := range columns {
			var l load
			for i := range c.Outcomes {
				o := &c.Outcomes[i]
				if o.Server == s.Name && o.Scenario == scenario && o.Result != nil {
					l.server = append(l.server, o.ServerCores)
					l.client = append(l.client, o.Result.Usage.ClientCores)
					l.host = append(l.host, o.Result.Usage.HostCores)
				}
			}
			if len(l.server) == 0 {
				b.WriteString(" |")
				continue
			}
			fmt.Fprintf(b, " %.2f, %.2f, %.2f |", report.Median(l.server), report.Median(l.client), report.Median(l.host))
		}
		b.WriteString("\n")
	}
}
