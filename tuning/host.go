package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// Host is the machine under examination. All that this package knows of it
// comes through here, so that a test can present another one. What cannot be
// read is unknown, never an error.
type Host struct {
	Proc fs.FS // what is at /proc
	Sys  fs.FS // what is at /sys
	// Cores that the server may use.
	Cores int
	// Write puts text into the file of that name below /proc. Nil: read only.
	Write func(name, text string) error
}

// ThisHost is the machine that the process runs on.
func ThisHost() Host {
	return Host{
		Proc: os.DirFS("/proc"),
		Sys:  os.DirFS("/sys"),
		// GOMAXPROCS starts at what the cgroup's CPU quota allows; the server
		// may have raised it since, hence the smaller one.
		Cores: min(runtime.NumCPU(), runtime.GOMAXPROCS(0)),
		Write: func(name, text string) error {
			f, err := os.OpenFile(path.Join("/proc", name), os.O_WRONLY|os.O_TRUNC, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString(text)
			return errors.Join(err, f.Close())
		},
	}
}

// text reads a file of fsys, false if that is not possible.
func text(fsys fs.FS, name string) (string, bool) {
	if fsys == nil {
		return "", false
	}
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		return "", false
	}
	return strings.TrimSpace(string(b)), true
}

// numbers reads a file of integers parted by white space.
func numbers(fsys fs.FS, name string) (values []int64, ok bool) {
	s, _ := text(fsys, name)
	for field := range strings.FieldsSeq(s) {
		v, isNumber := number(field)
		if !isNumber {
			return nil, false
		}
		values = append(values, v)
	}
	return values, len(values) > 0
}

// number reads one integer. What is above int64 is math.MaxInt64: the kernel
// writes 2^64-1 where it means no limit.
func number(s string) (int64, bool) {
	switch s {
	case "max", "unlimited", "infinity":
		return math.MaxInt64, true
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil && !(errors.Is(err, strconv.ErrRange) && s[0] != '-') {
		return 0, false
	}
	return v, true
}

// sysctlFile is where a setting, named as sysctl(8) does, is below /proc.
func sysctlFile(name string) string {
	return "sys/" + strings.ReplaceAll(name, ".", "/")
}

func first(fsys fs.FS, name string) (int64, bool) {
	v, ok := numbers(fsys, name)
	if !ok {
		return 0, false
	}
	return v[0], true
}

// line returns the words behind key in the first line that begins with it.
func line(fsys fs.FS, name, key string) []string {
	s, _ := text(fsys, name)
	for line := range strings.Lines(s) {
		if rest, found := strings.CutPrefix(line, key); found {
			return strings.Fields(rest)
		}
	}
	return nil
}

// sysctls reads a setting of several numbers, sysctl one of one.
func (h Host) sysctls(name string) ([]int64, bool) { return numbers(h.Proc, sysctlFile(name)) }
func (h Host) sysctl(name string) (int64, bool)    { return first(h.Proc, sysctlFile(name)) }

// nofile reads the limits of this process. They are taken from /proc, not from
// getrlimit(2), so that a test can present others.
func (h Host) nofile() (Nofile, bool) {
	fields := line(h.Proc, "self/limits", "Max open files")
	if len(fields) < 2 {
		return Nofile{}, false
	}
	soft, ok1 := number(fields[0])
	hard, ok2 := number(fields[1])
	return Nofile{Soft: int(soft), Hard: int(hard)}, ok1 && ok2
}

// meminfo reads one line of /proc/meminfo, in bytes.
func (h Host) meminfo(key string) (int64, bool) {
	fields := line(h.Proc, "meminfo", key+":")
	if len(fields) == 0 {
		return 0, false
	}
	kib, ok := number(fields[0])
	if !ok || kib < 0 || kib > math.MaxInt64>>10 {
		return 0, false
	}
	return kib << 10, true
}

func (h Host) kernel() (release string, major, minor int, ok bool) {
	release, _ = text(h.Proc, "sys/kernel/osrelease")
	n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return release, major, minor, n == 2
}

// capSysAdmin is the capability's bit (capability.h).
const capSysAdmin = 21

// aboveFileMax is whether fs.file-max does not bind this process: the kernel
// exempts CAP_SYS_ADMIN (alloc_empty_file, file_table.c), but only that of the
// initial user namespace, which a container's root may not have.
func (h Host) aboveFileMax() bool {
	initial, ok := numbers(h.Proc, "self/uid_map")
	if !ok || len(initial) != 3 || initial[0] != 0 || initial[1] != 0 || initial[2] < math.MaxUint32 {
		return false
	}
	fields := line(h.Proc, "self/status", "CapEff:")
	if len(fields) != 1 {
		return false
	}
	caps, err := strconv.ParseUint(fields[0], 16, 64)
	return err == nil && caps&(1<<capSysAdmin) != 0
}
