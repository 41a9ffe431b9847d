package usertcp

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// sumSlowly is RFC 1071 word by word.
func sumSlowly(p []byte) uint16 {
	total := uint32(0)
	for i := 0; i < len(p); i += 2 {
		word := uint32(p[i]) << 8
		if i+1 < len(p) {
			word |= uint32(p[i+1])
		}
		if total += word; total > 0xffff {
			total -= 0xffff
		}
	}
	return uint16(total)
}

func sampleSegment() Segment {
	return Segment{Source: 0x7f000001, Target: 0xC6120001, SourcePort: 20000, TargetPort: 10000,
		Seq: 0xfffffff0, Ack: 17, Flags: flagACK | flagPSH, Window: 65535, Payload: []byte("hello")}
}

// What is written is read, with either way of checksums, and any wrong bit is
// noticed.
func TestSegment(t *testing.T) {
	s := sampleSegment()
	packet := s.Append([]byte("before"), false)[6:]
	back, ok := ParseSegment(packet, false)
	if !ok || back.Source != s.Source || back.Target != s.Target || back.SourcePort != s.SourcePort || back.TargetPort != s.TargetPort ||
		back.Seq != s.Seq || back.Ack != s.Ack || back.Flags != s.Flags || back.Window != s.Window || !bytes.Equal(back.Payload, s.Payload) {
		t.Errorf("%v: %+v", ok, back)
	}
	for bit := range len(packet) * 8 {
		packet[bit/8] ^= 1 << (bit % 8)
		if _, ok := ParseSegment(packet, false); ok {
			t.Errorf("bit %d is wrong, and nobody notices", bit)
		}
		packet[bit/8] ^= 1 << (bit % 8)
	}
	for n := range packet {
		if _, ok := ParseSegment(packet[:n], true); ok {
			t.Errorf("%d of %d bytes are enough", n, len(packet))
		}
	}
	partial := s.Append(nil, true)
	if _, ok := ParseSegment(partial, false); ok {
		t.Error("a checksum that the device is to finish is right already")
	}
	if _, ok := ParseSegment(partial, true); !ok {
		t.Error("not taken from a device that checks")
	}
	// As the device finishes it: the sum of all with the pseudo header's in place.
	if got, want := ^sumSlowly(partial[ipHeaderBytes:]), binary.BigEndian.Uint16(packet[ipHeaderBytes+16:]); got != want {
		t.Errorf("the device makes %x of it, and %x is right", got, want)
	}
	s.Flags, s.MSS, s.Payload = flagSYN, 1460, nil
	if back, ok := ParseSegment(s.Append(nil, false), false); !ok || back.MSS != 1460 {
		t.Errorf("%v: %+v", ok, back)
	}
}

func TestMSS(t *testing.T) {
	for options, wanted := range map[string]int{
		"":                             0,
		"\x01\x01\x02\x04\x05\xb4":     1460,
		"\x03\x03\x07\x02\x04\x01\x00": 256,
		"\x00\x02\x04\x05\xb4":         0,
		"\x02":                         -1,
		"\x02\x04\x05":                 -1,
		"\x08\x00":                     -1,
		"\x08\x01":                     -1,
	} {
		mss, ok := parseMSS([]byte(options))
		if ok != (wanted >= 0) || ok && int(mss) != wanted {
			t.Errorf("%x: %d, %v", options, mss, ok)
		}
	}
}

// Whatever comes from the device is a segment or is not; what is one can be
// written and read again.
func FuzzParseSegment(f *testing.F) {
	s := sampleSegment()
	f.Add(s.Append(nil, false))
	s.Flags, s.MSS, s.Payload = flagSYN|flagACK, 1460, nil
	f.Add(s.Append(nil, false))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) >= ipHeaderBytes {
			// Right header checksums, so that more than those is tried.
			if header := int(p[0]&0x0f) * 4; header <= len(p) && header >= ipHeaderBytes {
				p[10], p[11] = 0, 0
				binary.BigEndian.PutUint16(p[10:], ^sumSlowly(p[:header]))
			}
		}
		s, ok := ParseSegment(p, true)
		if !ok {
			return
		}
		if len(s.Payload) > len(p)-ipHeaderBytes-tcpHeaderBytes {
			t.Fatalf("%d bytes of %d", len(s.Payload), len(p))
		}
		if s.Flags&flagSYN == 0 {
			s.MSS = 0
		}
		back, ok := ParseSegment(s.Append(nil, false), false)
		if !ok || back.Seq != s.Seq || back.Ack != s.Ack || back.Flags != s.Flags || back.Source != s.Source ||
			!bytes.Equal(back.Payload, s.Payload) || back.MSS != s.MSS {
			t.Fatalf("%+v became %+v, %v", s, back, ok)
		}
	})
}

// Whatever a server sends, a stack neither panics nor gives its user more than
// the bytes of one stream.
func FuzzInput(f *testing.F) {
	f.Add([]byte{flagACK, 0, 0, 5, flagACK | flagFIN, 5, 0, 3, flagRST, 8, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		w := newWorld(t, 1, 1, faults{}, 0)
		w.stack.Open(0)
		for ; len(script) >= 4; script = script[4:] {
			switch script[0] & 0xc0 {
			case 0x40:
				w.now += int64(script[1]) * 100 * milli
				w.stack.SetNow(w.now)
				w.stack.Tick()
			case 0x80:
				w.stack.Send(0, make([]byte, script[1]))
			case 0xc0:
				if w.stack.Close(0, script[1]&1 != 0); script[1]&2 != 0 {
					w.stack.Open(0)
				}
			default:
				w.input(script[0]&0x1f, int(int8(script[1])), int(int8(script[2])), string(make([]byte, script[3])))
			}
			w.sent()
			if state := w.stack.conns.At(0).state(); state > stateLastAck || state == stateClosed && len(w.stack.flights.byConn) > 0 {
				t.Fatalf("state %d with %d flights", state, len(w.stack.flights.byConn))
			}
		}
	})
}
