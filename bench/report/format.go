package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"c10m/bench/plot"
)

// Count writes a number with its thousands apart.
func Count[T ~int | ~uint64](n T) string {
	digits, sign := strconv.FormatInt(int64(n), 10), ""
	if n < 0 {
		digits, sign = digits[1:], "-"
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

func plural(n uint64, what string) string {
	if n != 1 {
		what += "s"
	}
	return Count(n) + " " + what
}

// Number writes a rate or a share: to three digits below 1,000, whole above.
func Number(v float64) string {
	if math.Abs(v) >= 1000 {
		return Count(int(math.Round(v)))
	}
	return plot.Text(plot.Number, v)
}

// millis writes milliseconds for a column of them, without the unit: to a
// microsecond at most, as finer than that nothing here is measured.
func millis(v float64) string {
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case v < 1000:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return Count(int(math.Round(v)))
}

// size writes bytes to three digits.
func size[T ~uint64 | ~float64](bytes T) string { return plot.Text(plot.Bytes, float64(bytes)) }

// perConn writes bytes per connection, which are few enough to be written out.
func perConn(bytes float64) string { return Number(bytes) + " B" }

// commandLine is the command as a shell takes it.
func commandLine(command []string) string {
	words := make([]string, len(command))
	for i, word := range command {
		words[i] = word
		if word == "" || strings.ContainsAny(word, " \t\n\"'`$&|;<>()*?[]#~\\{}!") {
			words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// hostLine is the host in a line.
func hostLine(h *Host) string {
	var parts []string
	note := func(known bool, format string, args ...any) {
		if known {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	note(h.Processor != "", "%s", h.Processor)
	note(h.Cores > 0, "%s", plural(uint64(h.Cores), "core"))
	note(h.MemoryBytes > 0, "%s memory", size(h.MemoryBytes))
	note(h.Kernel != "", "Linux %s", strings.TrimPrefix(h.Kernel, "Linux "))
	note(h.Go != "", "%s", h.Go)
	note(h.NofileHard > 0, "hard nofile limit %s", Count(h.NofileHard))
	tables := ""
	if h.PrivateFDs {
		tables = " with private descriptor tables"
	}
	note(h.Loops > 0, "%s of the client%s", plural(uint64(h.Loops), "loop"), tables)
	return strings.Join(parts, ", ")
}
