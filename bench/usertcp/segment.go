package usertcp

import "encoding/binary"

// Flags of a segment (RFC 9293, 3.1).
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
)

const (
	ipHeaderBytes  = 20
	tcpHeaderBytes = 20
	mssOptionBytes = 4
	protocolTCP    = 6
)

// A Segment is a TCP segment in an IPv4 packet. Addresses are numbers, the first
// byte highest.
type Segment struct {
	Source, Target         uint32
	SourcePort, TargetPort uint16
	Seq, Ack               uint32
	Flags                  uint8
	Window                 uint16
	MSS                    uint16 // option of a SYN; 0: there is none
	Payload                []byte // of a parsed one: a part of the packet
}

// length is what the segment takes of the sequence space.
func (s *Segment) length() uint32 {
	n := uint32(len(s.Payload))
	if s.Flags&flagSYN != 0 {
		n++
	}
	if s.Flags&flagFIN != 0 {
		n++
	}
	return n
}

// ParseSegment reads an IPv4 packet; ok is false for what is no whole TCP segment
// (fragments included) or has a wrong checksum. trusted leaves TCP's checksum
// unread: over a device with checksum offload it is not filled in.
func ParseSegment(p []byte, trusted bool) (s Segment, ok bool) {
	if len(p) < ipHeaderBytes+tcpHeaderBytes || p[0]>>4 != 4 {
		return s, false
	}
	header, total := int(p[0]&0x0f)*4, int(binary.BigEndian.Uint16(p[2:]))
	const moreFragmentsAndOffset = 0x3fff
	if header < ipHeaderBytes || total > len(p) || total < header+tcpHeaderBytes || p[9] != protocolTCP ||
		binary.BigEndian.Uint16(p[6:])&moreFragmentsAndOffset != 0 || fold(sum(p[:header], 0)) != 0xffff {
		return s, false
	}
	s.Source, s.Target = binary.BigEndian.Uint32(p[12:]), binary.BigEndian.Uint32(p[16:])
	t := p[header:total]
	offset := int(t[12]>>4) * 4
	if offset < tcpHeaderBytes || offset > len(t) {
		return s, false
	}
	if !trusted && fold(sum(t, pseudoSum(s.Source, s.Target, len(t)))) != 0xffff {
		return s, false
	}
	s.SourcePort, s.TargetPort = binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])
	s.Seq, s.Ack = binary.BigEndian.Uint32(t[4:]), binary.BigEndian.Uint32(t[8:])
	s.Flags, s.Window = t[13], binary.BigEndian.Uint16(t[14:])
	s.Payload = t[offset:]
	if s.Flags&flagSYN != 0 {
		s.MSS, ok = parseMSS(t[tcpHeaderBytes:offset])
		return s, ok
	}
	return s, true
}

// parseMSS walks over the options of a SYN (RFC 9293, 3.2).
func parseMSS(options []byte) (mss uint16, ok bool) {
	const end, none, maximumSegmentSize = 0, 1, 2
	for len(options) > 0 {
		switch options[0] {
		case end:
			return mss, true
		case none:
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return 0, false
		}
		if options[0] == maximumSegmentSize && options[1] == mssOptionBytes {
			mss = binary.BigEndian.Uint16(options[2:])
		}
		options = options[options[1]:]
	}
	return mss, true
}

// zeros are headers to be filled in.
var zeros [ipHeaderBytes + tcpHeaderBytes + mssOptionBytes]byte

// Append appends the segment as an IPv4 packet. partial leaves it to the
// device to finish TCP's checksum: only the pseudo header is in it then.
func (s *Segment) Append(dst []byte, partial bool) []byte {
	header := tcpHeaderBytes
	if s.MSS != 0 {
		header += mssOptionBytes
	}
	start, length := len(dst), header+len(s.Payload)
	dst = append(dst, zeros[:ipHeaderBytes+header]...)
	p := dst[start:]
	p[0] = 4<<4 | ipHeaderBytes/4
	binary.BigEndian.PutUint16(p[2:], uint16(ipHeaderBytes+length))
	const dontFragment, hops = 0x40, 64
	p[6], p[8], p[9] = dontFragment, hops, protocolTCP
	binary.BigEndian.PutUint32(p[12:], s.Source)
	binary.BigEndian.PutUint32(p[16:], s.Target)
	binary.BigEndian.PutUint16(p[10:], ^fold(sum(p[:ipHeaderBytes], 0)))
	t := p[ipHeaderBytes:]
	binary.BigEndian.PutUint16(t, s.SourcePort)
	binary.BigEndian.PutUint16(t[2:], s.TargetPort)
	binary.BigEndian.PutUint32(t[4:], s.Seq)
	binary.BigEndian.PutUint32(t[8:], s.Ack)
	t[12], t[13] = byte(header/4)<<4, s.Flags
	binary.BigEndian.PutUint16(t[14:], s.Window)
	if s.MSS != 0 {
		t[20], t[21] = 2, mssOptionBytes
		binary.BigEndian.PutUint16(t[22:], s.MSS)
	}
	dst = append(dst, s.Payload...)
	t = dst[start+ipHeaderBytes:]
	checksum := pseudoSum(s.Source, s.Target, length)
	if partial {
		binary.BigEndian.PutUint16(t[16:], fold(checksum))
	} else {
		binary.BigEndian.PutUint16(t[16:], ^fold(sum(t, checksum)))
	}
	return dst
}

// pseudoSum is over the pseudo header of RFC 9293, 3.1.
func pseudoSum(source, target uint32, length int) uint64 {
	return uint64(source) + uint64(target) + protocolTCP + uint64(length)
}

// sum adds up 16-bit words, the first byte high (RFC 1071), in wider ones: 2^16
// is 1 modulo 2^16-1. It is for at most 64 KiB, so nothing overflows.
func sum(p []byte, total uint64) uint64 {
	for ; len(p) >= 8; p = p[8:] {
		v := binary.BigEndian.Uint64(p)
		total += v>>32 + v&0xffffffff
	}
	for ; len(p) >= 2; p = p[2:] {
		total += uint64(binary.BigEndian.Uint16(p))
	}
	if len(p) == 1 {
		total += uint64(p[0]) << 8
	}
	return total
}

func fold(total uint64) uint16 {
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
