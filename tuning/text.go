package tuning

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// count writes a number with thousands apart, as people read it.
func count[T int | int64](v T) string {
	if int64(v) == math.MaxInt64 {
		return "unlimited"
	}
	digits := strconv.FormatInt(int64(v), 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// size writes bytes in the unit that leaves one to four digits.
func size(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 || value >= 100 {
		return fmt.Sprintf("%.0f %s", value, units[unit])
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

// roundUp rounds up to three significant digits, so that what is written into
// a configuration looks like somebody's decision and not like noise.
func roundUp(v int64) int64 {
	step := int64(1)
	for v/step >= 1000 {
		step *= 10
	}
	return (v + step - 1) / step * step
}

func powerOfTwo(v int64) int64 { return 1 << bits.Len64(uint64(max(v, 1)-1)) }

// writeWrapped writes text in lines that begin with indent and have at most width bytes
// behind it; a word that is longer stands alone.
func writeWrapped(b *strings.Builder, text string, width int, indent string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			b.WriteString(indent + line + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		b.WriteString(indent + line + "\n")
	}
}
