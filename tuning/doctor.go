package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// DoctorOptions are the flags of `10m-server doctor`.
type DoctorOptions struct {
	Want
	Apply  bool // set what may be set while the host runs, then examine again
	Sysctl bool // print a file for /etc/sysctl.d instead of the table
	JSON   bool // print the report for programs instead of the table
	// Host is the machine to examine; nil is this one.
	Host *Host
}

// Doctor examines the host and writes to w what it found. It returns false if
// something needed is too low, which is exit status 1. An error is the
// operator's and one sentence, or w's.
func Doctor(w io.Writer, opts DoctorOptions) (ok bool, err error) {
	switch {
	case opts.Apply && opts.Sysctl:
		return false, errors.New("--apply sets the values and --sysctl prints a file: use one at a time")
	case opts.JSON && opts.Sysctl:
		return false, errors.New("--sysctl prints a file and --json a report: use one at a time")
	case opts.Connections < 0 || opts.Connections > ConnectionsMax:
		return false, fmt.Errorf("--connections must be between 0, for what the host allows, and %s", count(ConnectionsMax))
	case opts.Ports < 0 || opts.Ports > 65535:
		return false, errors.New("--ports must be between 1 and 65535")
	case opts.Loops < 0 || opts.Loops > listenersPerPortMax:
		return false, fmt.Errorf("--loops must be between 0, for one per core or what the fd tables need, and %s", count(listenersPerPortMax))
	}
	switch opts.FDTables {
	case "", FDAuto, FDPrivate, FDShared:
	default:
		return false, fmt.Errorf("--fd-tables %q is none of auto, private and shared", opts.FDTables)
	}
	host := ThisHost()
	if opts.Host != nil {
		host = *opts.Host
	}
	report := Examine(host, opts.Want)
	var changes []Change
	if opts.Apply {
		changes = Apply(host, report)
		// Ask again for as many as before: with --connections 0 the goal would
		// move with the limits, and with the memory that is free at the time.
		opts.Connections = report.Connections
		report = Examine(host, opts.Want)
	}
	return report.Low() == 0, write(w, opts, report, changes)
}

func write(w io.Writer, opts DoctorOptions, report Report, changes []Change) error {
	switch {
	case opts.Sysctl:
		return WriteSysctl(w, report)
	case opts.JSON:
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Report
			Changes []Change `json:"changes,omitempty"`
		}{report, changes})
	}
	if opts.Apply {
		if _, err := io.WriteString(w, changesText(changes)); err != nil {
			return err
		}
	}
	return report.Print(w, onTerminal(w))
}

func changesText(changes []Change) string {
	if len(changes) == 0 {
		return "Nothing had to be set.\n\n"
	}
	var b strings.Builder
	for _, c := range changes {
		text := fmt.Sprintf("set %s = %s", c.Setting, c.Value)
		if c.Problem != "" {
			text = fmt.Sprintf("not set: %s: %s", c.Setting, c.Problem)
		}
		writeWrapped(&b, text, tableColumns, "")
	}
	b.WriteString("\nThe host now:\n\n")
	return b.String()
}
