// Package cli is what the command lines of 10m-server and 10m-client have in common:
// help, version, exit statuses, and which variables of the environment are known.
package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit statuses of both programs, one for each kind of end.
const (
	ExitOK     = 0 // all was well
	ExitNo     = 1 // it ran, and the answer is no
	ExitUsage  = 2 // the command line or the environment can not be understood
	ExitCannot = 3 // it can not be done here and now
)

// ExitStatuses explains them at the end of the help.
const ExitStatuses = `Exit statuses
  0  All was well.
  1  It ran, and the answer is no: a setting is too low (doctor), there was a fault or
     a criterion is not met (10m-client), a second signal ended a drain.
  2  The command line or the environment can not be understood.
  3  It can not be done here and now: a port is taken, a file can not be read.
What is wrong is one sentence on standard error.`

// Help prints kong's help, and what the exit statuses mean.
func Help(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintln(ctx.Stdout, "\n"+ExitStatuses)
	return err
}

// version is set by the Makefile (git describe).
var version string

// Version names what was built.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "unknown"
}

// VersionFlag prints the version and ends the program.
type VersionFlag bool

// BeforeReset is called by kong, before other flags are looked at.
func (VersionFlag) BeforeReset(app *kong.Kong) error {
	fmt.Fprintf(app.Stdout, "%s %s\n", app.Model.Name, Version())
	app.Exit(ExitOK)
	return nil
}

// Arguments are those of the command line. "help" and "help COMMAND" are words for
// --help; and in front stands the subcommand that most people leave out, if any, so
// that --help explains its flags.
func Arguments(args []string, usual string) []string {
	if len(args) > 0 && args[0] == "help" {
		args = append(append([]string{}, args[1:]...), "--help")
	}
	if usual != "" && (len(args) == 0 || strings.HasPrefix(args[0], "-")) {
		args = append([]string{usual}, args...)
	}
	return args
}

// Parse reads the command line. It ends the program if that can not be understood.
func Parse(parser *kong.Kong, args []string) *kong.Context {
	parsed, err := parser.Parse(args)
	if errors.Is(err, syscall.EPIPE) {
		os.Exit(ExitOK) // whoever read the help has seen enough
	}
	if err != nil {
		Fail(parser.Model.Name, ExitUsage, fmt.Errorf("%w (%s --help explains all flags)", withoutArguments(err), parser.Model.Name))
	}
	return parsed
}

// withoutArguments keeps a word out of an error that stands where none belongs: it may
// be a secret, behind a blank too many.
func withoutArguments(err error) error {
	if strings.HasPrefix(err.Error(), "unexpected argument") {
		return errors.New("there is a word that belongs to no flag")
	}
	return err
}

// Fail ends the program with one sentence.
func Fail(program string, status int, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	os.Exit(status)
}

// Unknown returns a warning for each variable of the environment that begins with
// C10M_ and is none of known. Values are not looked at.
func Unknown(environ, known []string) (warnings []string) {
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "C10M_") {
			continue
		}
		nearest, distance := "", len(name)
		for _, k := range known {
			if d := edits(name, k); d < distance {
				nearest, distance = k, d
			}
		}
		switch {
		case distance == 0:
		case distance <= max(2, (len(name)-len("C10M_"))/3):
			warnings = append(warnings, fmt.Sprintf("there is no %s; do you mean %s?", name, nearest))
		default:
			warnings = append(warnings, fmt.Sprintf("there is no %s, so it sets nothing", name))
		}
	}
	return warnings
}

// Variables are the names of the variables that flags are read from.
func Variables(model *kong.Application) (names []string) {
	_ = kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			names = append(names, flag.Tag.Envs...)
		}
		return next(nil)
	})
	return names
}

// edits is how many letters have to be put in, left out or changed (Levenshtein).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			corner, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, corner+cost)
		}
	}
	return row[len(b)]
}

// Count is a number and its noun, which takes an s unless there is one.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
