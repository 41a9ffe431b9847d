// Package glob matches names with the patterns of Redis: those of PSUBSCRIBE on
// the bus, and those of the channels that a token allows. One matcher for both,
// so that a pattern means the same in a token as in redis-cli.
package glob

// Match reports whether name matches a pattern of Redis: `*`, `?`, `[abc]`,
// `[a-z]`, `[^a]`, and `\x` for a literal x, inside and outside of brackets.
// It may be called from any goroutine and allocates nothing.
//
// Redis recurses at each `*`, which a pattern of many stars makes exponential
// (it bounds the harm with a flag since 7.0). Here only the latest `*` is ever
// gone back to: as a `*` may match any run, whatever an earlier one could still
// try, the latest can as well. So the work is at most len(pattern)*len(name)
// steps. FuzzGlob compares the two on short inputs.
func Match[P, N string | []byte](pattern P, name N) bool {
	if len(name) == 0 {
		return len(pattern) == 0 // so it is in Redis, even for `*`
	}
	p, n := 0, 0
	starP, starN := -1, 0 // just behind the latest `*`, and where its run ends
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			starP, starN = p, n
			continue
		}
		if p < len(pattern) {
			if next, ok := one(pattern, p, name[n]); ok {
				p = next
				n++
				continue
			}
		}
		if starP < 0 {
			return false
		}
		starN++ // let the latest `*` swallow one byte more
		p, n = starP, starN
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// one matches one byte with the element of the pattern at p, which is not a
// `*`, and returns the position behind that element.
func one[P string | []byte](pattern P, p int, c byte) (next int, ok bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return class(pattern, p+1, c)
	case '\\':
		if p+1 < len(pattern) {
			p++ // a lone backslash at the end is itself
		}
	}
	return p + 1, pattern[p] == c
}

// class matches one byte with the class that begins behind its `[`. As in
// Redis, a class that is never closed ends with the pattern, `]` directly behind
// the `[` closes an empty class, a range may be written backwards, and `[a-]` is
// the range from `a` to `]`, never closed.
func class[P string | []byte](pattern P, p int, c byte) (next int, ok bool) {
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	for {
		switch {
		case p >= len(pattern):
			return p, ok != not
		case pattern[p] == '\\' && p+1 < len(pattern):
			p++
			ok = ok || pattern[p] == c
		case pattern[p] == ']':
			return p + 1, ok != not
		case p+2 < len(pattern) && pattern[p+1] == '-':
			low, high := pattern[p], pattern[p+2]
			if low > high {
				low, high = high, low
			}
			ok = ok || low <= c && c <= high
			p += 2
		default:
			ok = ok || pattern[p] == c
		}
		p++
	}
}
