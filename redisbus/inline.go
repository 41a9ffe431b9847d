package redisbus

import "encoding/hex"

// splitInline takes a line apart into its words, as Redis does: blanks divide them; in
// double quotes are escapes (\n, \r, \t, \b, \a, \xHH, and else the character itself), in
// single quotes only \'; and behind a closing quote comes a blank. What is unescaped is
// written over the line, which it is never longer than, so that words need no memory of
// their own: redcon takes as much as the rest of the line for each, 1.4 GB for
// a line of 64 KiB. ok is false if a quote is not closed.
func splitInline(line []byte, words [][]byte) (_ [][]byte, ok bool) {
	words = words[:0]
	out := 0
	for at := 0; ; {
		for at < len(line) && isBlank(line[at]) {
			at++
		}
		if at == len(line) {
			return words, true
		}
		start := out
		for at < len(line) && !isBlank(line[at]) {
			c := line[at]
			if c == '"' || c == '\'' {
				if at, out, ok = unquote(line, at, out); !ok {
					return words, false
				}
				break // a blank or the end follows
			}
			line[out] = c
			at, out = at+1, out+1
		}
		words = append(words, line[start:out:out])
	}
}

// unquote copies what the quote at at has in it to out, and returns what follows both.
func unquote(line []byte, at, out int) (_, _ int, ok bool) {
	quote := line[at]
	for at++; at < len(line); at++ {
		c := line[at]
		switch {
		case c == quote:
			at++
			return at, out, at == len(line) || isBlank(line[at])
		case c == '\\' && at+1 < len(line) && (quote == '"' || line[at+1] == '\''):
			at++
			if c = line[at]; quote == '"' {
				c, at = unescape(line, at)
			}
		}
		line[out] = c
		out++
	}
	return at, out, false
}

// unescape returns what the escape at at, behind its backslash, stands for, and where it
// ends.
func unescape(line []byte, at int) (c byte, end int) {
	switch c = line[at]; c {
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'b':
		c = '\b'
	case 'a':
		c = '\a'
	case 'x':
		if at+2 < len(line) {
			var byHex [1]byte
			if _, err := hex.Decode(byHex[:], line[at+1:at+3]); err == nil {
				return byHex[0], at + 2
			}
		}
	}
	return c, at
}

// isBlank reports whether c is what C calls space.
func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
