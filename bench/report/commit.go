package report

import "runtime/debug"

// Commit is what the program was built from, as the build has it: with "-dirty"
// if something was not committed.
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	revision, suffix := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), commitDigits)]
		case s.Key == "vcs.modified" && s.Value == "true":
			suffix = "-dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + suffix
}

// commitDigits of a commit's name are enough to find it.
const commitDigits = 10

// commit is the result's for people.
func (r *Result) commit() string {
	if r.Commit == "" {
		return "unknown"
	}
	return r.Commit
}
