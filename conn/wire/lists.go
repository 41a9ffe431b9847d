package wire

import (
	"bytes"
	"iter"
)

// members are those of a list (RFC 9110, 5.6.1), blanks around them cut off. Some may be
// empty, which are of no account.
func members(list []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for member := range bytes.SplitSeq(list, []byte(",")) {
			if !yield(bytes.Trim(member, " \t")) {
				return
			}
		}
	}
}

// HasMember reports whether a list has a member, without regard to case, parameters
// of it left aside.
func HasMember(list []byte, member string) bool {
	for item := range members(list) {
		item, _, _ = bytes.Cut(item, []byte(";"))
		if EqualFold(bytes.TrimRight(item, " \t"), member) {
			return true
		}
	}
	return false
}

// IsTokenList reports whether a list has members, and all are tokens.
func IsTokenList(list []byte) bool {
	count := 0
	for member := range members(list) {
		for _, c := range member {
			if !isTokenByte[c] {
				return false
			}
		}
		count += min(1, len(member))
	}
	return count > 0
}

// accepted is which of the types that a server here can answer with a client asks for by
// their names (RFC 9110, 12.5.1): that it would take anything is not enough.
type accepted struct{ events, html bool }

// AcceptsEvents reports whether the client asks for a stream of events, AcceptsHTML whether
// for a page.
func (h *Head) AcceptsEvents() bool { return h.accept.events }
func (h *Head) AcceptsHTML() bool   { return h.accept.html }

// take takes one line of Accept. A type with parameters (text/html;level=1) is more
// specific than what we send, so it says nothing of that.
func (a *accepted) take(list []byte) {
	for len(list) > 0 {
		var item []byte
		item, list = nextQuoted(list)
		name, parameters, _ := bytes.Cut(item, []byte(";"))
		if isWanted(parameters) {
			name = bytes.TrimRight(name, " \t")
			a.events = a.events || EqualFold(name, "text/event-stream")
			a.html = a.html || EqualFold(name, "text/html")
		}
	}
}

// nextQuoted cuts the first member off a list whose members may have strings in quotes (RFC
// 9110, 5.6.4), with commas in them.
func nextQuoted(list []byte) (member, rest []byte) {
	inQuotes := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			inQuotes = !inQuotes
		case inQuotes && c == '\\':
			i++
		case c == ',' && !inQuotes:
			return bytes.Trim(list[:i], " \t"), list[i+1:]
		}
	}
	return bytes.Trim(list, " \t"), nil
}

// isWanted reports whether parameters say no weight of 0 (RFC 9110, 12.4.2), and nothing
// else before it but charset, which ours has as well. A weight that is not well formed counts
// as 0: it would be wrong to send what a client may not want.
func isWanted(parameters []byte) bool {
	for len(parameters) > 0 {
		var parameter []byte
		parameter, parameters, _ = bytes.Cut(parameters, []byte(";"))
		name, value, _ := bytes.Cut(parameter, []byte("="))
		switch name = bytes.Trim(name, " \t"); {
		case EqualFold(name, "q"):
			return isAboveZero(bytes.Trim(value, " \t"))
		case len(name) > 0 && !EqualFold(name, "charset"):
			return false
		}
	}
	return true
}

// isAboveZero reports whether a weight is well formed, and more than 0.
func isAboveZero(text []byte) bool {
	if len(text) == 0 || len(text) > len("0.000") || text[0] != '0' && text[0] != '1' || len(text) > 1 && text[1] != '.' {
		return false
	}
	thousandths, unit := int(text[0]-'0')*1000, 100
	for _, c := range text[min(len(text), len("0.")):] {
		if c < '0' || c > '9' {
			return false
		}
		thousandths += int(c-'0') * unit
		unit /= 10
	}
	return thousandths > 0 && thousandths <= 1000
}

// HasTag reports whether an If-None-Match names a tag, weakly or not (RFC 9110,
// 13.1.2). Our tags have no comma in them.
func HasTag(lines [][]byte, tag string) bool {
	for _, list := range lines {
		for item := range members(list) {
			if string(item) == "*" || string(bytes.TrimPrefix(item, []byte("W/"))) == tag {
				return true
			}
		}
	}
	return false
}
