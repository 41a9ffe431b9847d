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

// accepted are the weights, in thousandths, with which a client wants the types that a
// server here can answer with (RFC 9110, 12.5.1). 0: not at all.
type accepted struct {
	events, html weight
}

// A weight is that of the most specific range so far that a type is in.
type weight struct {
	thousandths uint16
	specificity uint8 // 1: */*, 2: type/*, 3: type/subtype
}

// AcceptsEvents reports whether the client asks for a stream of events by its name:
// that it would take anything is not enough. AcceptsHTML is the same for a page.
func (h *Head) AcceptsEvents() bool { return h.accept.events.isNamed() }
func (h *Head) AcceptsHTML() bool   { return h.accept.html.isNamed() }

func (w weight) isNamed() bool { return w.specificity == 3 && w.thousandths > 0 }

// take takes one line of Accept.
func (a *accepted) take(list []byte) {
	for len(list) > 0 {
		var item []byte
		if item, list = nextQuoted(list); len(item) == 0 {
			continue
		}
		name, parameters, _ := bytes.Cut(item, []byte(";"))
		name = bytes.TrimRight(name, " \t")
		thousandths, isPlain := quality(parameters)
		a.events.take(name, "text/event-stream", thousandths, isPlain)
		a.html.take(name, "text/html", thousandths, isPlain)
	}
}

// take takes a range. A type with parameters (text/html;level=1) is more specific than
// what we send, so it says nothing of that.
func (w *weight) take(name []byte, kind string, thousandths uint16, isPlain bool) {
	specificity := uint8(0)
	slash := bytes.IndexByte(name, '/')
	switch {
	case !isPlain || slash < 0:
	case EqualFold(name, kind):
		specificity = 3
	case EqualFold(name[:slash], kind[:len("text")]) && string(name[slash:]) == "/*":
		specificity = 2
	case string(name) == "*/*":
		specificity = 1
	}
	switch {
	case specificity == 0 || specificity < w.specificity:
	case specificity > w.specificity:
		*w = weight{thousandths, specificity}
	default:
		w.thousandths = max(w.thousandths, thousandths)
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

// quality returns the weight among parameters, in thousandths (RFC 9110, 12.4.2).
// isPlain: there are no others before it but charset, which ours has as well. One that
// is not well formed counts as 0: it would be wrong to send what a client may not want.
func quality(parameters []byte) (thousandths uint16, isPlain bool) {
	isPlain = true
	for len(parameters) > 0 {
		var parameter []byte
		parameter, parameters, _ = bytes.Cut(parameters, []byte(";"))
		name, value, _ := bytes.Cut(parameter, []byte("="))
		switch name = bytes.Trim(name, " \t"); {
		case EqualFold(name, "q"):
			return qvalue(bytes.Trim(value, " \t")), isPlain
		case len(name) > 0 && !EqualFold(name, "charset"):
			isPlain = false
		}
	}
	return 1000, isPlain
}

func qvalue(text []byte) uint16 {
	if len(text) == 0 || len(text) > len("0.000") || text[0] != '0' && text[0] != '1' || len(text) > 1 && text[1] != '.' {
		return 0
	}
	n, unit := uint16(text[0]-'0')*1000, uint16(100)
	for i := 2; i < len(text); i++ {
		c := text[i]
		if c < '0' || c > '9' {
			return 0
		}
		n += uint16(c-'0') * unit
		unit /= 10
	}
	if n > 1000 {
		return 0
	}
	return n
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
