package main

import (
	"fmt"
	"io"
	"strings"
)

// markdown writes the table, who was busy, and why somebody failed.
func (c *comparison) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s connections to each server, %d-byte messages, %.0f s each, ", thousands(float64(c.Connections)), c.Bytes, c.Seconds)
	if c.Rounds == 1 {
		b.WriteString("one round.")
	} else {
		fmt.Fprintf(&b, "medians of %d rounds.", c.Rounds)
	}
	fmt.Fprintf(&b, " Client and server share %d cores and %.0f GiB; Linux %s, %s, hard nofile limit %s. %s.\n\n    %s\n\n",
		c.Host.Cores, float64(c.Host.MemoryBytes)/(1<<30), c.Host.Kernel, c.Host.Go, thousands(float64(c.Host.NofileHard)),
		c.Started.UTC().Format("2006-01-02"), strings.Join(c.Command, " "))
	reasons := c.table(&b)
	b.WriteString("\nThe best of each column is bold. A server that fails a scenario has no figure of it. " +
		"c10m spreads its pings over their 5 minutes, so its idle time has some; most others send theirs 5 minutes after the connect, which is after the run.\n")
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
			if len(k.failed) > 0 {
				text += fmt.Sprintf(" (%d)", note(&reasons, s.Title, k.failed))
			}
			fmt.Fprintf(b, " %s |", text)
		}
		fmt.Fprintf(b, " %s |\n", thousands(float64(c.lost(s.Name))))
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
			fmt.Fprintf(b, " %.2f, %.2f, %.2f |", median(l.server), median(l.client), median(l.host))
		}
		b.WriteString("\n")
	}
}
