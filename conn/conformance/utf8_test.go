package conformance

import (
	"strings"
	"unicode/utf8"
)

// kosme is the Greek word of Markus Kuhn's UTF-8 decoder test, which the suite's
// section 6 is made of.
const kosme = "κ\u1f79σμε"

// section6 is UTF-8.
func section6() (cases []conformanceCase) {
	add := func(c conformanceCase) { cases = append(cases, c) }
	add(newCase("6.1.1").frame(0x81, "").text("").ok())
	add(newCase("6.1.2").frame(0x01, "").frame(0x00, "").frame(0x80, "").text("").ok())
	add(newCase("6.1.3").frame(0x01, "").frame(0x00, "middle frame payload").frame(0x80, "").text("middle frame payload").ok())
	const umlauts = "Hello-µ@ßöäüàá-UTF-8!!"
	half := strings.Index(umlauts, "ü")
	add(newCase("6.2.1").frame(0x81, umlauts).text(umlauts).ok())
	add(newCase("6.2.2").frame(0x01, umlauts[:half]).frame(0x80, umlauts[half:]).text(umlauts).ok())
	add(newCase("6.2.3").fragments(0x01, umlauts, 1).text(umlauts).ok())
	add(newCase("6.2.4").fragments(0x01, kosme, 1).text(kosme).ok())
	const surrogate = kosme + "\xed\xa0\x80" + "edited"
	add(newCase("6.3.1").invalid(surrogate, len(surrogate)).failed(1007))
	add(newCase("6.3.2").invalid(surrogate, 1).failed(1007))
	// Fail fast: the second of the suite's pieces makes it certain, in frames
	// of their own (6.4.1, 6.4.2) and within one frame (6.4.3, 6.4.4). A cut at
	// every byte is a wait at every byte.
	const beyond = kosme + "\xf4\x90\x80\x80" + "edited"
	first := len(kosme)
	add(newCase("6.4.1").invalid(beyond, first, 4, 6).failed(1007))
	add(newCase("6.4.2").invalid(beyond, first+1, 1, 8).failed(1007))
	add(newCase("6.4.3").invalid(beyond, len(beyond)).failed(1007))
	add(newCase("6.4.4").invalid(beyond, len(beyond)).failed(1007))
	for sub, sequences := range utf8Sequences() {
		for i, payload := range sequences {
			w := newCase("6.%d.%d", 5+sub, i+1)
			if utf8.ValidString(payload) {
				add(w.frame(0x81, payload).text(payload).ok())
			} else {
				add(w.invalid(payload, len(payload)).failed(1007))
			}
		}
	}
	return cases
}

// invalid appends a text message that is not UTF-8, in frames of these sizes, the
// last one repeated, and marks the byte that makes it certain: the first that no
// UTF-8 can have there, or the last of all.
func (w *clientStream) invalid(payload string, sizes ...int) *clientStream {
	certain := certainAt(payload)
	opcode := byte(0x01)
	for sent := 0; sent < len(payload); {
		n := min(sizes[0], len(payload)-sent)
		if len(sizes) > 1 {
			sizes = sizes[1:]
		}
		if sent+n == len(payload) {
			opcode |= 0x80
		}
		w.frame(opcode, payload[sent:sent+n])
		if at := certain - sent; w.c.fatalAt == 0 && at <= n {
			w.c.fatalAt = len(w.c.stream) - n + at
		}
		sent, opcode = sent+n, 0
	}
	return w
}

// certainAt is the length of the shortest prefix that no UTF-8 text begins with,
// found by trying all continuations of up to three bytes; that of the whole if it
// is only unfinished.
func certainAt(payload string) int {
	for n := 1; n <= len(payload); n++ {
		if !canGoOn(payload[:n], 3) {
			return n
		}
	}
	return len(payload)
}

// canGoOn reports whether p is the beginning of UTF-8 text. Between them, the
// bytes tried stand for every range in the table of RFC 3629, 4.
func canGoOn(p string, more int) bool {
	if utf8.ValidString(p) {
		return true
	}
	if more == 0 {
		return false
	}
	for _, next := range []string{"\x80", "\x90", "\xa0"} {
		if canGoOn(p+next, more-1) {
			return true
		}
	}
	return false
}

// utf8Sequences are the payloads of 6.5 to 6.23, after Markus Kuhn's test; the
// comments are his headings.
func utf8Sequences() [][]string {
	return [][]string{
		// 6.5: some correct text.
		{"hello$world", "hello¢world", "hello€world", "hello𤭢world", kosme},
		prefixes(kosme), // 6.6
		// 6.7 to 6.10: first and last possible sequence of a certain length.
		{"\x00", "\u0080", "\u0800", "\U00010000"},
		{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"},
		{"\x7f", "\u07ff", "\uffff", "\U0010ffff"},
		{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"},
		// 6.11: other boundary conditions.
		{"\ud7ff", "\ue000", "\ufffd", "\U0010ffff", "\xf4\x90\x80\x80"},
		// 6.12: unexpected continuation bytes.
		{"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", run(0x80, 0xbf, "")},
		// 6.13: lonely start characters.
		{run(0xc0, 0xdf, " "), run(0xe0, 0xef, " "), run(0xf0, 0xf7, " "), run(0xf8, 0xfb, " "), run(0xfc, 0xfd, " ")},
		unfinished,                           // 6.14: last continuation byte missing
		{strings.Join(unfinished, "")},       // 6.15
		{"\xfe", "\xff", "\xfe\xfe\xff\xff"}, // 6.16: impossible bytes
		// 6.17 to 6.19: overlong sequences: of a slash, the largest, and of NUL.
		{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"},
		{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"},
		{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"},
		// 6.20 and 6.21: surrogates, alone and in pairs.
		{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"},
		pairs("\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf"),
		nonCharacters(), // 6.22
		{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"}, // 6.23: specials
	}
}

var unfinished = []string{"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
	"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"}

func prefixes(text string) (all []string) {
	for n := range len(text) {
		all = append(all, text[:n+1])
	}
	return all
}

// run is the bytes from first up to but not including end, each with something
// behind it.
func run(first, end byte, behind string) string {
	var text []byte
	for b := first; b < end; b++ {
		text = append(append(text, b), behind...)
	}
	return string(text)
}

// pairs joins each high surrogate with the first and the last low one.
func pairs(highs ...string) (all []string) {
	for _, high := range highs {
		all = append(all, high+"\xed\xb0\x80", high+"\xed\xbf\xbf")
	}
	return all
}

// nonCharacters are the last two code points of each plane, which are UTF-8 like
// any other.
func nonCharacters() (all []string) {
	for plane := rune(0); plane <= 16; plane++ {
		end := []string{string(plane<<16 | 0xfffe), string(plane<<16 | 0xffff)}
		all = append(all, end...)
	}
	return all
}
