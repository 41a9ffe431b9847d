package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
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

// Change is what became of one setting under --apply.
type Change struct {
	Setting string `json:"setting"`
	Value   string `json:"value,omitempty"`
	// Problem is one sentence on why it was not set; empty if it was.
	Problem string `json:"problem,omitempty"`
}

// Apply sets what is too low and may be set while the host runs, and says of
// the rest why not. The values last until the next boot. It never lowers one.
func Apply(host Host, report Report) []Change {
	var changes []Change
	for _, c := range report.Checks {
		if !c.Bad() {
			continue
		}
		change := Change{Setting: c.Setting, Value: c.Value}
		switch {
		case c.Value == "" && c.Fix == "":
			change.Problem = "not a setting that can be written: " + c.Why
		case c.Value == "":
			change.Problem = "cannot be set from here while the host runs: " + c.Fix
		case host.Write == nil:
			change.Problem = "this host is presented for reading only"
		default:
			change.Problem = problem(host.Write(sysctlFile(c.Setting), c.Value+"\n"))
		}
		changes = append(changes, change)
	}
	return changes
}

// problem turns the error of a write into /proc/sys into a sentence for the
// operator.
func problem(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, unix.EROFS):
		return "/proc/sys is read-only here, as in most containers: set it on the host"
	case errors.Is(err, fs.ErrPermission):
		return "only root may set it, and only outside a container or in its own network namespace: run doctor --apply as root on the host"
	case errors.Is(err, fs.ErrNotExist):
		return "this kernel or network namespace does not have it: set it on the host"
	case errors.Is(err, unix.EINVAL):
		return "the kernel refuses the value as out of range"
	}
	return "the kernel refuses it: " + err.Error()
}

// WriteSysctl writes a file for /etc/sysctl.d that makes the values last over
// a boot. It has every setting that the connections need, not only those that
// are too low now: after --apply nothing is. What is above the need already
// stays as it is and stands there as a comment.
func WriteSysctl(w io.Writer, report Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Settings of the kernel for %s WebSockets on %s ports, made by:\n", count(report.Connections), count(report.Ports))
	fmt.Fprintf(&b, "#   10m-server doctor --connections %d --ports %d --sysctl\n", report.Connections, report.Ports)
	fmt.Fprintf(&b, "# Keep it as /etc/sysctl.d/90-c10m.conf and load it with: sysctl --system\n")
	for _, c := range report.Checks {
		if c.Value == "" {
			continue
		}
		b.WriteString("\n")
		writeWrapped(&b, c.Why, sysctlColumns, "# ")
		if c.Verdict == OK && c.Above {
			fmt.Fprintf(&b, "# %s = %s (is %s, which is enough)\n", c.Setting, c.Value, c.Now)
		} else {
			fmt.Fprintf(&b, "%s = %s\n", c.Setting, c.Value)
		}
	}
	b.WriteString(notSysctls)
	_, err := io.WriteString(w, b.String())
	return err
}

const sysctlColumns = 96

// notSysctls reminds of what such a file cannot hold.
const notSysctls = `
# Not set by this file: LimitNOFILE= and TasksMax= of the systemd unit, the memory limits of the
# cgroup, and thash_entries= on the kernel's command line.
`
