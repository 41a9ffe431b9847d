package wire

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// takeTarget takes the target apart (RFC 9112, 3.2) and reports whether it has one of
// the forms that its method may have.
func (h *Head) takeTarget() (ok bool) {
	target := h.slice(h.target)
	if bytes.IndexByte(target, '#') >= 0 {
		return false // no form has a fragment
	}
	from := int(h.target.from)
	switch {
	case target[0] == '/':
	case string(h.Method()) == "CONNECT":
		h.authority = h.target
		return validHost(target)
	case string(target) == "*":
		h.path = h.target
		return string(h.Method()) == "OPTIONS"
	default:
		size := schemeBytes(target)
		if size == 0 {
			return false
		}
		rest := target[size:]
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 || !validHost(rest[:end]) { // nobody, or userinfo (RFC 9110, 4.2)
			return false
		}
		h.authority = span{uint16(from + size), uint16(from + size + end)}
		from += size + end
	}
	h.path = span{uint16(from), h.target.to}
	if query := bytes.IndexByte(h.p[from:h.target.to], '?'); query >= 0 {
		h.path.to = uint16(from + query)
		h.query = span{h.path.to + 1, h.target.to}
	}
	return true
}

// schemeBytes is the length of the scheme at the front of an absolute target, its
// slashes included; 0 if it is none of ours.
func schemeBytes(target []byte) int {
	for _, scheme := range []string{"http://", "https://", "ws://", "wss://"} {
		if len(target) >= len(scheme) && EqualFold(target[:len(scheme)], scheme) {
			return len(scheme)
		}
	}
	return 0
}

var slash = []byte("/")

// Path is that of the target, as it was sent. The path of an absolute target that has
// none is a slash (RFC 9110, 4.2.3).
func (h *Head) Path() []byte {
	if h.path.from == h.path.to && h.where > inVersion {
		return slash
	}
	return h.slice(h.path)
}

// Query is what follows the target's question mark.
func (h *Head) Query() []byte { return h.slice(h.query) }

// HostPort is whom the request is for: of an absolute target, the target says it,
// whatever Host says (RFC 9112, 3.2.2).
func (h *Head) HostPort() []byte {
	if h.authority.to > 0 {
		return h.slice(h.authority)
	}
	return h.Value(Host)
}

// Parameter returns the first value of a parameter of the query, as it was sent.
func (h *Head) Parameter(name string) (value []byte, isThere bool) {
	for rest := h.Query(); len(rest) > 0; {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		if key, value, _ := bytes.Cut(pair, []byte("=")); string(key) == name {
			return value, true
		}
	}
	return nil, false
}

// validHost reports whether a value is a host with or without a port (RFC 9110, 7.2;
// RFC 3986, 3.2.2 and 3.2.3). Nothing is good, too.
func validHost(value []byte) bool {
	host := value
	if len(value) > 0 && value[0] == '[' {
		end := bytes.IndexByte(value, ']')
		if end < 0 || !validLiteral(value[1:end]) {
			return false
		}
		host = value[end+1:]
		return len(host) == 0 || host[0] == ':' && validPort(host[1:])
	}
	if colon := bytes.IndexByte(value, ':'); colon >= 0 {
		if !validPort(value[colon+1:]) {
			return false
		}
		host = value[:colon]
	}
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case isHostByte[c]:
		case c == '%' && i+2 < len(host) && isHexByte[host[i+1]] && isHexByte[host[i+2]]:
			i += 2
		default:
			return false
		}
	}
	return true
}

func validPort(port []byte) bool {
	for _, c := range port {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// validLiteral reports whether what stands in brackets is an address of IPv6, or of a
// version to come (RFC 3986, 3.2.2).
func validLiteral(text []byte) bool {
	if len(text) == 0 {
		return false
	}
	if text[0]|0x20 == 'v' {
		version, rest, hasDot := bytes.Cut(text[1:], []byte("."))
		for _, c := range version {
			if !isHexByte[c] {
				return false
			}
		}
		for _, c := range rest {
			if !isHostByte[c] && c != ':' {
				return false
			}
		}
		return hasDot && len(version) > 0 && len(rest) > 0
	}
	if bytes.IndexByte(text, '%') >= 0 {
		return false // a zone means nothing to others (RFC 6874, 3)
	}
	// Lent: of an address without a zone nothing of the text is kept.
	address, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(text), len(text)))
	return err == nil && address.Is6()
}
