package usertcp

import (
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A pipe is a wire whose other end is the test.
type pipe struct {
	in      [][]byte
	written []byte // the first byte of each packet
}

func (p *pipe) FD() int { return -1 }

func (p *pipe) Read() ([]byte, syscall.Errno) {
	if len(p.in) == 0 {
		return nil, unix.EAGAIN
	}
	first := p.in[0]
	p.in = p.in[1:]
	return first, 0
}

func (p *pipe) Write(packet []byte) syscall.Errno {
	p.written = append(p.written, packet[0])
	return 0
}

// through sends 200 packets both ways and returns what arrived.
func through(share Roughness) (in, out []byte) {
	p := &pipe{}
	w := Rough(p, share, 1)
	buffer := []byte{0}
	for i := range byte(200) {
		p.in = append(p.in, []byte{i})
		buffer[0] = i // it is lent for the call only
		w.Write(buffer)
		if i%20 != 19 {
			continue
		}
		for {
			packet, errno := w.Read()
			if errno != 0 {
				break
			}
			in = append(in, packet[0])
		}
	}
	return in, p.written
}

// Each kind of roughness does what it says, both ways, and nothing else.
func TestRough(t *testing.T) {
	all := make([]byte, 200)
	for i := range all {
		all[i] = byte(i)
	}
	for name, c := range map[string]struct {
		share                   Roughness
		fewer, more, overtaking bool
	}{
		"smooth":  {Roughness{}, false, false, false},
		"lose":    {Roughness{Lose: 0.1}, true, false, false},
		"repeat":  {Roughness{Repeat: 0.1}, false, true, false},
		"reorder": {Roughness{Reorder: 0.1}, false, false, true},
	} {
		in, out := through(c.share)
		for way, got := range map[string][]byte{"in": in, "out": out} {
			sorted := slices.Clone(got)
			slices.Sort(sorted)
			distinct := slices.Compact(slices.Clone(sorted))
			if (len(distinct) < 200) != c.fewer || (len(sorted) > len(distinct)) != c.more || slices.Equal(got, sorted) == c.overtaking {
				t.Errorf("%s, %s: %d packets, %d different; %v", name, way, len(got), len(distinct), got)
			}
			if !c.fewer && !slices.Equal(distinct, all) {
				t.Errorf("%s, %s: some are missing", name, way)
			}
		}
	}
	for _, bad := range []Roughness{{Lose: -1}, {Repeat: 0.6}, {Reorder: 2}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
