package wire

import "encoding/binary"

// A Fault is why a head is none, or why a stream of frames has to end.
type Fault uint8

// The faults, by the rule that is broken.
const (
	FaultNone       Fault = iota
	FaultLine             // not a request's first line
	FaultVersion          // a major version other than 1
	FaultTarget           // control characters or # in the target, or a form that the method has not
	FaultField            // a line that is no field: folded, no colon, not a token, control characters
	FaultHost             // no Host (HTTP/1.1)
	FaultHostValue        // two of them, or one that is no host and port
	FaultLength           // two lengths, a list of them, not digits, or one beside Transfer-Encoding
	FaultCoding           // a Transfer-Encoding that does not end in chunked, or in HTTP/1.0
	FaultLong             // the fields do not end in time
	FaultTargetLong       // nor does the first line

	FaultFrame   // breaks RFC 6455: a header (5.2 to 5.5), a close code (7.4)
	FaultText    // a text or a close's sentence is not UTF-8 (8.1), as soon as it is certain
	FaultMessage // a message is longer than the Sink takes, as soon as a header says so
	FaultRefused // the Sink did not take a message
)

// Where Parse stands: in which part of a line the next byte is.
const (
	inMethod = iota // of the first line
	inTarget
	inVersion
	inName
	inValue
	isDone
)

type span struct{ from, to uint16 }

// A Head is the head of an HTTP request (RFC 9112, 3 and 5): the parser of one that
// comes, and what it found. The zero value is ready. All slices are lent, for as long
// as the bytes are that Parse was handed last.
type Head struct {
	p []byte // what Parse was handed last

	// Where the parser is.
	at    uint16 // the next byte to look at
	line  uint16 // where the line at hand begins
	colon uint16 // of the line at hand, once its name is over
	where uint8
	fault Fault

	method, target, authority, path, query span

	// Length is that of the body; -1 if it has no Content-Length, MaxInt64 if it is
	// longer than that. It means something once the head is complete.
	Length int64
	minor  uint8
	// What lists of options say, over all their lines.
	Chunked           bool // Transfer-Encoding: the body ends with its last chunk
	Encoded           bool // Content-Encoding, and not identity
	ExpectContinue    bool // Expect: 100-continue, of HTTP/1.1
	connectionClose   bool
	connectionUpgrade bool
	upgradeWebSocket  bool
	accept            accepted

	fields [fields]occurrence
}

// An occurrence is where a field stands in the head.
type occurrence struct {
	value span   // of the first line
	last  uint16 // where the last line of it begins
	count uint16
}

// SkipEmptyLines returns what comes behind the empty lines at the front of p. A server
// should pass over one in front of a request (RFC 9112, 2.2).
func SkipEmptyLines(p []byte) []byte {
	for len(p) > 1 && p[0] == '\r' && p[1] == '\n' {
		p = p[2:]
	}
	return p
}

// Begun reports whether anything of a head was taken.
func (h *Head) Begun() bool { return h.at > 0 }

// Parse goes on with the head at the front of p, which begins with all that earlier
// calls were handed. size is the length of the head, its empty line included, once
// it is complete; 0 says that more has to come. bytesMax is the longest one that is
// taken, up to HeadBytesMax. After a fault, or a size, h is not to be fed again.
func (h *Head) Parse(p []byte, bytesMax int) (size int, fault Fault) {
	h.p = p
	if len(p) > bytesMax {
		p = p[:bytesMax]
	}
	at, more := int(h.at), true
	for more && h.fault == FaultNone {
		switch h.where {
		case inMethod:
			at, more = h.parseMethod(p, at)
		case inTarget:
			at, more = h.parseTarget(p, at)
		case inVersion:
			at, more = h.parseVersion(p, at)
		case inName:
			at, more = h.parseName(p, at)
		case inValue:
			at, more = h.parseValue(p, at)
		case isDone:
			if h.finish(); h.fault == FaultNone {
				size = at
			}
			more = false
		}
	}
	h.at = uint16(at)
	if size == 0 && len(p) == bytesMax {
		if h.where <= inVersion {
			h.spoil(FaultTargetLong)
		}
		h.spoil(FaultLong)
	}
	return size, h.fault
}

// spoil notes the first fault.
func (h *Head) spoil(fault Fault) {
	if h.fault == FaultNone {
		h.fault = fault
	}
}

// parseMethod takes the method, a token (RFC 9110, 9.1) and a blank.
func (h *Head) parseMethod(p []byte, at int) (int, bool) {
	for ; at < len(p); at++ {
		switch c := p[at]; {
		case isTokenByte[c]:
		case c == '\r' && at == 0 && len(p) == 1:
			return 0, false // half an empty line: see SkipEmptyLines
		case c == ' ' && at > 0:
			h.method = span{0, uint16(at)}
			h.line = uint16(at + 1) // of the first line: where the target begins
			h.where = inTarget
			return at + 1, true
		default:
			h.spoil(FaultLine)
			return at, false
		}
	}
	return at, false
}

// parseTarget takes the target, up to a blank (RFC 9112, 3.2).
func (h *Head) parseTarget(p []byte, at int) (int, bool) {
	for ; at < len(p); at++ {
		switch c := p[at]; {
		case c > ' ' && c != 0x7f:
		case c == ' ' && at > int(h.line):
			h.target = span{h.line, uint16(at)}
			h.line = uint16(at + 1)
			h.where = inVersion
			return at + 1, true
		case c == ' ' || c == '\r' || c == '\n':
			h.spoil(FaultLine) // nothing, or HTTP/0.9
			return at, false
		default:
			h.spoil(FaultTarget)
			return at, false
		}
	}
	return at, false
}

const versionBytes = len("HTTP/1.1\r\n")

// parseVersion takes the rest of the first line (RFC 9112, 2.3), and looks at each
// byte as it comes, so that who speaks something else hears it at once.
func (h *Head) parseVersion(p []byte, at int) (int, bool) {
	const form = "HTTP/0.0\r\n" // 0: a digit
	from := int(h.line)
	for ; at < len(p) && at < from+versionBytes; at++ {
		want := form[at-from]
		if c := p[at]; c != want && (want != '0' || c < '0' || c > '9') {
			h.spoil(FaultLine)
			return at, false
		}
	}
	if at < from+versionBytes {
		return at, false
	}
	if p[from+len("HTTP/")] != '1' {
		h.spoil(FaultVersion)
		return at, false
	}
	// Of a minor version that we do not know we are the next lower one (RFC 9110, 2.5).
	h.minor = min(p[from+len("HTTP/1.")]-'0', 1)
	h.line = uint16(at)
	h.where = inName
	h.Length = -1
	if !h.takeTarget() {
		h.spoil(FaultTarget)
		return at, false
	}
	return at, true
}

// parseName takes the name of a field and its colon, or the empty line (RFC 9112, 5).
// Blanks before a name (5.2) or behind it (5.1) are no bytes of a token.
func (h *Head) parseName(p []byte, at int) (int, bool) {
	for ; at < len(p); at++ {
		c := p[at]
		if isTokenByte[c] {
			continue
		}
		from := int(h.line)
		switch {
		case c == ':' && at > from:
			h.colon = uint16(at)
			h.where = inValue
			return at + 1, true
		case c == '\r' && at == from:
			if at+1 == len(p) {
				return at, false
			}
			if p[at+1] == '\n' {
				h.where = isDone
				return at + 2, true
			}
		}
		h.spoil(FaultField)
		return at, false
	}
	return at, false
}

// parseValue takes a field's value and the end of its line. Control characters are
// not part of it, but for tabs (RFC 9110, 5.5).
func (h *Head) parseValue(p []byte, at int) (int, bool) {
	for {
		at = control(p, at)
		switch {
		case at == len(p):
			return at, false
		case p[at] == '\t':
			at++
			continue
		case p[at] != '\r':
			h.spoil(FaultField)
			return at, false
		case at+1 == len(p):
			return at, false
		case p[at+1] != '\n':
			h.spoil(FaultField)
			return at, false
		}
		h.takeField(p, span{h.line, h.colon}, trimmed(p, int(h.colon)+1, at))
		h.line = uint16(at + 2)
		h.where = inName
		return at + 2, true
	}
}

// control returns where the next control character is, from at on, or len(p). Eight
// bytes at a time: a byte below 0x20 borrows when 0x20 is taken from it, and 0x7f is
// 0 when it is turned round.
func control(p []byte, at int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; at+8 <= len(p); at += 8 {
		word := binary.LittleEndian.Uint64(p[at:])
		turned := word ^ 0x7f*ones
		if ((word-0x20*ones)&^word|(turned-ones)&^turned)&tops != 0 {
			break
		}
	}
	for ; at < len(p); at++ {
		if c := p[at]; c < 0x20 || c == 0x7f {
			break
		}
	}
	return at
}

func trimmed(p []byte, from, to int) span {
	for from < to && (p[from] == ' ' || p[from] == '\t') {
		from++
	}
	for to > from && (p[to-1] == ' ' || p[to-1] == '\t') {
		to--
	}
	return span{uint16(from), uint16(to)}
}

func (h *Head) finish() {
	switch hosts := h.Count(Host); {
	case hosts == 0 && h.minor > 0: // RFC 9112, 3.2
		h.spoil(FaultHost)
	case h.Count(TransferEncoding) == 0:
	case h.minor == 0, !h.Chunked: // RFC 9112, 6.1, 6.3
		h.spoil(FaultCoding)
	case h.Length >= 0: // RFC 9112, 6.1: one of the two is somebody else's
		h.spoil(FaultLength)
	}
	if h.minor == 0 {
		h.ExpectContinue = false   // RFC 9110, 10.1.1
		h.upgradeWebSocket = false // RFC 9110, 7.8
	}
}

func (h *Head) slice(s span) []byte { return h.p[s.from:s.to:s.to] }

// Bytes is the head as it came, once it is complete.
func (h *Head) Bytes() []byte { return h.p[:h.at:h.at] }

// Method is the first line's, as it was sent; empty until it is complete.
func (h *Head) Method() []byte { return h.slice(h.method) }
func (h *Head) IsHead() bool   { return string(h.Method()) == "HEAD" }

// HasBody reports whether a body follows, or may follow.
func (h *Head) HasBody() bool { return h.Length > 0 || h.Chunked }

// IsLast reports whether the client wants no answer after this one's (RFC 9112, 9.3).
// Who speaks HTTP/1.0 gets one answer, also if it asks for more.
func (h *Head) IsLast() bool { return h.connectionClose || h.minor == 0 }

// IsUpgrade reports whether WebSockets are among the protocols that the client would
// rather speak (RFC 9110, 7.8); AsksUpgrade whether Connection says so, too, without
// which that means nothing (RFC 6455, 4.2.1).
func (h *Head) IsUpgrade() bool   { return h.upgradeWebSocket }
func (h *Head) AsksUpgrade() bool { return h.upgradeWebSocket && h.connectionUpgrade }
