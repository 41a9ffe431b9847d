package tuning

import (
	"bytes"
	"io/fs"
	"os"
	"strconv"
)

// networkCounts reads what the kernel counts of TCP and of network devices. A
// Pacer does that a hundred times a second, so the files stay open and reading them
// allocates nothing: the garbage would have the collector stop the loops about
// every third second of a sweep. One goroutine uses it.
type networkCounts struct {
	sockstat, devices, snmp procFile
}

func newNetworkCounts(host Host) networkCounts {
	file := func(name string) procFile { return procFile{fsys: host.Proc, name: name} }
	return networkCounts{sockstat: file("net/sockstat"), devices: file("net/dev"), snmp: file("net/snmp")}
}

// tcpBytes is what all TCP sockets of the host hold in buffers, which no network
// namespace has to itself: "TCP: ... mem N", in pages (proc(5)). It is false if
// the host does not say.
func (c *networkCounts) tcpBytes() (n int64, ok bool) {
	for line := range bytes.Lines(c.sockstat.read()) {
		label, values, _ := bytes.Cut(line, []byte(":"))
		if string(label) != "TCP" {
			continue
		}
		isNext := false
		for field := range bytes.FieldsSeq(values) {
			if isNext {
				return int64(digits(field)) * int64(os.Getpagesize()), true
			}
			isNext = string(field) == "mem"
		}
	}
	return 0, false
}

// deviceDrops is what all network devices had no room for on the way out: the
// twelfth column of /proc/net/dev.
func (c *networkCounts) deviceDrops() (dropped uint64) {
	for line := range bytes.Lines(c.devices.read()) {
		_, counts, found := bytes.Cut(line, []byte(":"))
		if found {
			const transmitDrop = 11
			dropped += digits(field(counts, transmitDrop))
		}
	}
	return dropped
}

// segments is how many TCP sent, and how many of them again: a pair of lines of
// /proc/net/snmp, names above values.
func (c *networkCounts) segments() (sent, again uint64) {
	var names []byte
	for line := range bytes.Lines(c.snmp.read()) {
		label, values, _ := bytes.Cut(line, []byte(":"))
		if string(label) != "Tcp" {
			continue
		}
		if names == nil {
			names = values
			continue
		}
		i := 0
		for name := range bytes.FieldsSeq(names) {
			switch string(name) {
			case "OutSegs":
				sent = digits(field(values, i))
			case "RetransSegs":
				again = digits(field(values, i))
			}
			i++
		}
		break
	}
	return sent, again
}

// field is the one with that number, from 0, of those that white space parts.
func field(line []byte, number int) []byte {
	for f := range bytes.FieldsSeq(line) {
		if number == 0 {
			return f
		}
		number--
	}
	return nil
}

// digits reads a number of decimal digits; 0 if it is none.
func digits(text []byte) uint64 {
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// A procFile is a file of /proc that is read again and again. The zero value with
// fsys and name set is ready.
type procFile struct {
	fsys   fs.FS
	name   string
	open   *os.File
	buffer []byte
}

// procFileBytes is room for what /proc/net/dev says of thirty devices; it grows.
const procFileBytes = 4 << 10

// read returns what the file says now, nothing if it cannot be read. The bytes are
// good until the next call.
func (f *procFile) read() []byte {
	if f.fsys == nil {
		return nil
	}
	if f.open == nil {
		file, err := f.fsys.Open(f.name)
		if err != nil {
			return nil
		}
		var isOS bool
		if f.open, isOS = file.(*os.File); !isOS {
			// A test's, which says something else only when it is opened anew.
			file.Close()
			text, _ := fs.ReadFile(f.fsys, f.name)
			return text
		}
		f.buffer = make([]byte, procFileBytes)
	}
	for {
		// From the start: the kernel then writes it anew (proc(5), seq_file).
		n := 0
		for n < len(f.buffer) {
			got, err := f.open.ReadAt(f.buffer[n:], int64(n))
			n += got
			if err != nil || got == 0 {
				break
			}
		}
		if n < len(f.buffer) {
			return f.buffer[:n]
		}
		f.buffer = make([]byte, 2*len(f.buffer))
	}
}
