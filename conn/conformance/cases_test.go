package conformance

import (
	"fmt"
	"strings"
	"testing"
)

const hello = "Hello, world!"

// conformanceCases are the cases that are cut: all sections but 9, and large.
func conformanceCases() (all []conformanceCase) {
	for _, section := range [][]conformanceCase{
		section1(), section2(), section3(), section4(), section5(), section6(), section7(), large(), section10(),
	} {
		all = append(all, section...)
	}
	return all
}

// checkSections says if a case is missing, by the number of cases that the suite
// has in each section.
func checkSections(t *testing.T, cases []conformanceCase) {
	counts, seen := make(map[string]int), make(map[string]bool)
	for _, c := range cases {
		section, _, _ := strings.Cut(c.name, ".")
		counts[section]++
		if seen[c.name] {
			t.Errorf("there are two cases %s", c.name)
		}
		seen[c.name] = true
	}
	for section, want := range map[string]int{"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "10": 1} {
		if counts[section] != want {
			t.Errorf("section %s has %d cases, and the suite %d", section, counts[section], want)
		}
	}
}

// section1 is framing: text and binary messages of all lengths of header. The
// suite's eighth are its seventh in chops, and ours are cut anyway.
func section1() (cases []conformanceCase) {
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
		payload := strings.Repeat("*", n)
		cases = append(cases, newCase("1.1.%d", i+1).frame(0x81, payload).text(payload).ok())
	}
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
		payload := strings.Repeat("\xfe", n)
		c := newCase("1.2.%d", i+1).frame(0x82, payload)
		if n > 0 {
			cases = append(cases, c.binary(payload).ok())
			continue
		}
		c.c.remark = "comes back as text, as anything that is UTF-8 does with --frame auto, so the suite would fail it; with --frame binary it is OK (TestConformanceOfBinary)"
		cases = append(cases, c.text(payload).ok())
	}
	return cases
}

// section2 is pings and pongs.
func section2() []conformanceCase {
	odd := "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	long := strings.Repeat("\xfe", 125)
	ten := func(name string) conformanceCase {
		w := newCase("%s", name)
		for i := range 10 {
			payload := fmt.Sprintf("payload-%d", i)
			w.frame(0x89, payload).pong(payload)
		}
		return w.ok()
	}
	return []conformanceCase{
		newCase("2.1").frame(0x89, "").pong("").ok(),
		newCase("2.2").frame(0x89, hello).pong(hello).ok(),
		newCase("2.3").frame(0x89, odd).pong(odd).ok(),
		newCase("2.4").frame(0x89, long).pong(long).ok(),
		newCase("2.5").bad(0x89, long+"\xfe").failed(1002),
		newCase("2.6").frame(0x89, long).pong(long).ok(),
		newCase("2.7").frame(0x8a, "").frame(0x88, closePayload(1000, "")).answered(1000),
		newCase("2.8").frame(0x8a, "unsolicited pong payload").frame(0x88, closePayload(1000, "")).answered(1000),
		newCase("2.9").frame(0x8a, "unsolicited pong payload").frame(0x89, "ping payload").pong("ping payload").ok(),
		ten("2.10"), ten("2.11"),
	}
}

// section3 is reserved bits.
func section3() []conformanceCase {
	return []conformanceCase{
		newCase("3.1").bad(0x81|1<<4, hello).failed(1002),
		newCase("3.2").frame(0x81, hello).bad(0x81|2<<4, hello).frame(0x89, "").text(hello).overtaken().failed(1002),
		newCase("3.3").frame(0x81, hello).bad(0x81|3<<4, hello).frame(0x89, "").text(hello).overtaken().failed(1002),
		newCase("3.4").frame(0x81, hello).bad(0x81|4<<4, hello).frame(0x89, "").text(hello).overtaken().failed(1002),
		newCase("3.5").bad(0x82|5<<4, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff").failed(1002),
		newCase("3.6").bad(0x82|6<<4, hello).failed(1002),
		newCase("3.7").bad(0x88|7<<4, "").failed(1002),
	}
}

// section4 is reserved opcodes: 3 to 7, and 11 to 15.
func section4() (cases []conformanceCase) {
	for sub, first := range []byte{3, 11} {
		for i := range byte(5) {
			w := newCase("4.%d.%d", sub+1, i+1)
			opcode, payload := 0x80|first+i, []string{"", "reserved opcode payload", "", hello, hello}[i]
			if i < 2 {
				cases = append(cases, w.bad(opcode, payload).failed(1002))
				continue
			}
			cases = append(cases, w.frame(0x81, hello).bad(opcode, payload).frame(0x89, "").text(hello).overtaken().failed(1002))
		}
	}
	return cases
}

// section5 is fragmentation. Where the suite sends the same bytes in one chop,
// by frames and by bytes, the cases here are the same: they are cut anyway.
func section5() (cases []conformanceCase) {
	add := func(c conformanceCase) { cases = append(cases, c) }
	add(newCase("5.1").bad(0x09, "fragment1").frame(0x80, "fragment2").failed(1002))
	add(newCase("5.2").bad(0x0a, "fragment1").frame(0x80, "fragment2").failed(1002))
	for i := 3; i <= 5; i++ {
		add(newCase("5.%d", i).frame(0x01, "fragment1").frame(0x80, "fragment2").text("fragment1fragment2").ok())
	}
	for i := 6; i <= 8; i++ {
		add(newCase("5.%d", i).frame(0x01, "fragment1").frame(0x89, "ping payload").frame(0x80, "fragment2").
			pong("ping payload").text("fragment1fragment2").ok())
	}
	for i := 9; i <= 11; i++ {
		add(newCase("5.%d", i).bad(0x80, "non-continuation payload").frame(0x81, hello).failed(1002))
	}
	for i := 12; i <= 14; i++ {
		add(newCase("5.%d", i).bad(0x00, "non-continuation payload").frame(0x81, hello).failed(1002))
	}
	add(newCase("5.15").frame(0x01, "fragment1").frame(0x80, "fragment2").bad(0x00, "fragment3").frame(0x81, "fragment4").
		text("fragment1fragment2").overtaken().failed(1002))
	for i, first := range []byte{0x00, 0x80} {
		w := newCase("5.%d", 16+i).bad(first, "fragment1").frame(0x01, "fragment2").frame(0x80, "fragment3")
		add(w.frame(first, "fragment1").frame(0x01, "fragment2").frame(0x80, "fragment3").failed(1002))
	}
	add(newCase("5.18").frame(0x01, "fragment1").bad(0x81, "fragment2").failed(1002))
	for i := 19; i <= 20; i++ {
		add(newCase("5.%d", i).frame(0x01, "fragment1").frame(0x00, "fragment2").frame(0x89, "pongme 1!").
			frame(0x00, "fragment3").frame(0x00, "fragment4").frame(0x89, "pongme 2!").frame(0x80, "fragment5").
			pong("pongme 1!").pong("pongme 2!").text("fragment1fragment2fragment3fragment4fragment5").ok())
	}
	return cases
}

// section7 is closing.
func section7() (cases []conformanceCase) {
	add := func(c conformanceCase) { cases = append(cases, c) }
	goodbye := closePayload(1000, "")
	talksOn := func(c conformanceCase) conformanceCase { c.talksOn = true; return c }
	add(newCase("7.1.1").frame(0x81, "Hello World!").text("Hello World!").ok())
	add(talksOn(newCase("7.1.2").frame(0x88, goodbye).frame(0x88, "").answered(1000)))
	add(talksOn(newCase("7.1.3").frame(0x88, goodbye).frame(0x89, "").answered(1000)))
	add(talksOn(newCase("7.1.4").frame(0x88, goodbye).frame(0x81, "Hello World!").answered(1000)))
	add(talksOn(newCase("7.1.5").frame(0x01, "fragment1").frame(0x88, goodbye).frame(0x80, "fragment2").answered(1000)))
	add(closeBehindMessages(talksOn))
	add(newCase("7.3.1").frame(0x88, "").answered(noCode, 1000))
	add(newCase("7.3.2").frame(0x88, "a").fatalAtEnd().failed(1002))
	add(newCase("7.3.3").frame(0x88, goodbye).answered(1000))
	add(newCase("7.3.4").frame(0x88, closePayload(1000, "Hello World!")).answered(1000))
	add(newCase("7.3.5").frame(0x88, closePayload(1000, strings.Repeat("*", 123))).answered(1000))
	add(newCase("7.3.6").bad(0x88, closePayload(1000, strings.Repeat("*", 124))).failed(1002))
	add(newCase("7.5.1").frame(0x88, closePayload(1000, kosme+"\xed\xa0\x80edited")).fatalAtEnd().failed(1002, 1007))
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		add(newCase("7.7.%d", i+1).frame(0x88, closePayload(code, "")).answered(1000, code))
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		add(newCase("7.9.%d", i+1).frame(0x88, closePayload(code, "")).fatalAtEnd().failed(1002))
	}
	for i, code := range []int{5000, 65535} {
		c := newCase("7.13.%d", i+1).frame(0x88, closePayload(code, "")).fatalAtEnd().failed(1002)
		c.informational = true
		add(c)
	}
	return cases
}

// closeBehindMessages is 7.1.6. The close is answered at once, so messages that
// are still on their way through the bus never come back.
func closeBehindMessages(talksOn func(conformanceCase) conformanceCase) conformanceCase {
	long := strings.Repeat("BAsd7&jh23", 256<<10/10)
	w := newCase("7.1.6").frame(0x81, long).frame(0x81, "Hello World!").frame(0x88, closePayload(1000, "")).frame(0x89, "")
	w.text(long).overtaken().text("Hello World!").overtaken()
	w.c.remark = "a close frame is answered at once, and echoes that are still in the bus are not waited for"
	w.c.informational = true
	return talksOn(w.answered(1000))
}

// fatalAtEnd: only the last byte makes it certain that the connection has to be
// failed.
func (w *clientStream) fatalAtEnd() *clientStream {
	w.c.fatalAt = len(w.c.stream)
	return w
}

// large are messages beyond the sizes of section 1, up to the default --message-bytes,
// and a byte over it. The suite has the like in its section 9, which is played in
// full, and not cut, by TestConformanceOfLimits.
func large() (cases []conformanceCase) {
	for _, size := range []int{256 << 10, messageBytesDefault} {
		text, binary := repeated(textPattern, size), repeated(binaryPattern, size)
		cases = append(cases,
			newCase("text of %d bytes", size).frame(0x81, text).text(text).ok(),
			newCase("binary of %d bytes", size).frame(0x82, binary).binary(binary).ok())
	}
	over := newCase("a byte over the limit").bad(0x81, strings.Repeat("x", messageBytesDefault+1))
	return append(cases, over.failed(1009))
}

// section10 is a message that was fragmented on the way.
func section10() []conformanceCase {
	payload := strings.Repeat("*", 65536)
	return []conformanceCase{newCase("10.1.1").fragments(0x01, payload, 1300).text(payload).ok()}
}
