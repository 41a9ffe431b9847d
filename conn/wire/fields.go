package wire

import "math"

// A Field is one of those that somebody needs.
type Field uint8

// The fields that a Head knows. All others are checked and passed over.
const (
	Accept Field = iota
	AccessControlRequestHeaders
	Authorization
	Connection
	ContentEncoding
	ContentLength
	Expect
	Host
	IdempotencyKey
	IfNoneMatch
	LastEventID
	Origin
	SecFetchSite
	SecWebSocketKey
	SecWebSocketProtocol
	SecWebSocketVersion
	TransferEncoding
	Upgrade
	XForwardedFor

	fields
)

var fieldNames = [fields]string{
	Accept:                      "Accept",
	AccessControlRequestHeaders: "Access-Control-Request-Headers",
	Authorization:               "Authorization",
	Connection:                  "Connection",
	ContentEncoding:             "Content-Encoding",
	ContentLength:               "Content-Length",
	Expect:                      "Expect",
	Host:                        "Host",
	IdempotencyKey:              "Idempotency-Key",
	IfNoneMatch:                 "If-None-Match",
	LastEventID:                 "Last-Event-ID",
	Origin:                      "Origin",
	SecFetchSite:                "Sec-Fetch-Site",
	SecWebSocketKey:             "Sec-WebSocket-Key",
	SecWebSocketProtocol:        "Sec-WebSocket-Protocol",
	SecWebSocketVersion:         "Sec-WebSocket-Version",
	TransferEncoding:            "Transfer-Encoding",
	Upgrade:                     "Upgrade",
	XForwardedFor:               "X-Forwarded-For",
}

var byLength = func() (all [32][]Field) {
	for f := range fields {
		n := len(fieldNames[f])
		all[n] = append(all[n], f)
	}
	return all
}()

// fieldOf returns which field a name is of, without regard to case (RFC 9110, 5.1).
func fieldOf(name []byte) (f Field, isKnown bool) {
	if len(name) < len(byLength) {
		for _, f := range byLength[len(name)] {
			if EqualFold(name, fieldNames[f]) {
				return f, true
			}
		}
	}
	return 0, false
}

// EqualFold compares ASCII without regard to case. bytes.EqualFold would take the
// Kelvin sign for a k.
func EqualFold(p []byte, text string) bool {
	if len(p) != len(text) {
		return false
	}
	for i, c := range p {
		if d := text[i]; c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// takeField takes a line whose name and value are good by themselves.
func (h *Head) takeField(p []byte, name, value span) {
	f, isKnown := fieldOf(p[name.from:name.to])
	if !isKnown {
		return
	}
	o := &h.fields[f]
	if o.count++; o.count == 1 {
		o.value = value
	}
	o.last = name.from
	text := p[value.from:value.to]
	switch f {
	case Host:
		if o.count > 1 || !validHost(text) { // RFC 9112, 3.2
			h.spoil(FaultHostValue)
		}
	case ContentLength:
		if o.count > 1 || !h.takeLength(text) { // RFC 9112, 6.3
			h.spoil(FaultLength)
		}
	case TransferEncoding:
		h.takeCodings(text)
	case ContentEncoding:
		h.takeContentCodings(text)
	case Connection:
		h.takeConnection(text)
	case Upgrade:
		h.upgradeWebSocket = h.upgradeWebSocket || HasMember(text, "websocket")
	case Expect:
		h.ExpectContinue = h.ExpectContinue || HasMember(text, "100-continue")
	case Accept:
		h.accept.take(text)
	}
}

// takeLength takes a Content-Length (RFC 9110, 8.6).
func (h *Head) takeLength(value []byte) (ok bool) {
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64 // and stays it: longer than anything that is taken
			continue
		}
		n = 10*n + int64(c-'0')
	}
	h.Length = n
	return len(value) > 0
}

// takeCodings takes a Transfer-Encoding. chunked has to be the last, once, and has no
// parameters (RFC 9112, 6.1, 7, 7.1).
func (h *Head) takeCodings(value []byte) {
	for coding := range members(value) {
		if len(coding) == 0 {
			continue
		}
		if h.Chunked {
			h.spoil(FaultCoding)
		}
		h.Chunked = EqualFold(coding, "chunked")
	}
}

func (h *Head) takeContentCodings(value []byte) {
	for coding := range members(value) {
		h.Encoded = h.Encoded || len(coding) > 0 && !EqualFold(coding, "identity")
	}
}

func (h *Head) takeConnection(value []byte) {
	for option := range members(value) {
		h.connectionClose = h.connectionClose || EqualFold(option, "close")
		h.connectionUpgrade = h.connectionUpgrade || EqualFold(option, "upgrade")
	}
}

// Count is how many lines of a field there are, Value the first one's value, blanks
// around it cut off; nil if there is none.
func (h *Head) Count(f Field) int { return int(h.fields[f].count) }
func (h *Head) Value(f Field) []byte {
	if h.fields[f].count == 0 {
		return nil
	}
	return h.slice(h.fields[f].value)
}

// Lines fills into with the values of a field's lines, in their order, and returns
// how many; of more lines than it holds, the last.
func (h *Head) Lines(f Field, into [][]byte) [][]byte {
	o := &h.fields[f]
	if o.count == 0 || len(into) == 0 {
		return into[:0]
	}
	into[0] = h.slice(o.value)
	if o.count == 1 {
		return into[:1]
	}
	n := 1
	for at := h.next(int(o.value.to)); at <= int(o.last); {
		end := h.next(at)
		if name := len(fieldNames[f]); h.p[at+name] == ':' && EqualFold(h.p[at:at+name], fieldNames[f]) {
			if n == len(into) {
				copy(into, into[1:])
				n--
			}
			into[n] = h.slice(trimmed(h.p, at+name+1, end-2))
			n++
		}
		at = end
	}
	return into[:n]
}

func (h *Head) next(at int) int {
	for h.p[at] != '\n' {
		at++
	}
	return at + 1
}
