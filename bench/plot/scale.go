package plot

import (
	"math"
	"strconv"
)

// A Kind of axis decides where a value lies, which ticks there are, and how
// values are written.
type Kind int

const (
	Number  Kind = iota // linear, counts and rates
	Bytes               // linear, ticks at powers of two
	Seconds             // linear, time since a start
	Log                 // logarithmic, counts
	Millis              // logarithmic, milliseconds
	Nines               // percentiles 0 to 100; each further nine takes as much room
)

// A scale maps values to 0 ... 1.
type scale struct {
	kind   Kind
	lo, hi float64
	step   float64 // between the ticks, if it is linear
	ticksN float64 // about so many ticks
}

// secondSteps are the steps of a time axis that people count in.
var secondSteps = []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400}

// newScale fits a scale of about n ticks around the finite ones of values. A
// linear scale of values begins at 0, so that a small change looks small.
func newScale(kind Kind, values []float64, n float64) scale {
	least, most, smallest := math.Inf(1), math.Inf(-1), math.Inf(1)
	for _, v := range values {
		if !finite(v) {
			continue
		}
		least, most = min(least, v), max(most, v)
		if v > 0 {
			smallest = min(smallest, v)
		}
	}
	switch {
	case math.IsInf(least, 1):
		least, most = 0, 1
	case kind != Seconds && kind != Nines:
		least = min(least, 0)
	}
	s := scale{kind: kind, lo: least, hi: most, ticksN: n}
	s.step = s.stepOf(n)
	switch kind {
	case Log, Millis:
		s.lo, s.hi = logBounds(smallest, most)
	case Nines:
		s.lo, s.hi = 0, ninesEnd(values)
	case Seconds:
	default:
		s.lo, s.hi = math.Floor(s.lo/s.step)*s.step, math.Ceil(s.hi/s.step)*s.step
	}
	if s.hi <= s.lo {
		s.hi = s.lo + s.step
	}
	return s
}

// logBounds are the nearest 1, 2 or 5 times a power of ten outside.
func logBounds(smallest, most float64) (lo, hi float64) {
	if math.IsInf(smallest, 1) {
		return 1, 10
	}
	round := func(v float64, up bool) float64 {
		decade := math.Pow(10, math.Floor(math.Log10(v)+1e-9))
		best := decade
		for _, m := range []float64{1, 2, 5, 10} {
			if up && m*decade >= v*(1-1e-9) {
				return m * decade
			}
			if !up && m*decade <= v*(1+1e-9) {
				best = m * decade
			}
		}
		return best
	}
	lo, hi = round(smallest, false), round(most, true)
	if hi <= lo {
		hi = lo * 10
	}
	return lo, hi
}

// ninesEnd is the last percentile before 100.
func ninesEnd(values []float64) float64 {
	end := 90.0
	for _, v := range values {
		if v < 100 {
			end = max(end, v)
		}
	}
	return end
}

func nines(percentile float64) float64 { return -math.Log10(1 - percentile/100) }

// at returns the place of v, from 0 to 1; NaN stays NaN.
func (s scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	switch s.kind {
	case Log, Millis:
		v, lo, hi = math.Log10(max(v, lo)), math.Log10(lo), math.Log10(hi)
	case Nines:
		lo, hi = 0, nines(hi)+maxNines
		if v >= 100 {
			return 1
		}
		v = nines(v)
	}
	return min(max((v-lo)/(hi-lo), 0), 1)
}

// stepOf is a step that gives about n ticks or fewer.
func (s scale) stepOf(n float64) float64 {
	rough := (s.hi - s.lo) / n
	if !(rough > 0) {
		return 1
	}
	switch s.kind {
	case Bytes:
		return math.Pow(2, math.Ceil(math.Log2(max(rough, 1))))
	case Seconds:
		for _, step := range secondSteps {
			if step >= rough {
				return step
			}
		}
		return math.Ceil(rough/86400) * 86400
	}
	decade := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 5} {
		if m*decade >= rough*(1-1e-9) {
			return m * decade
		}
	}
	return 10 * decade
}

// ticks are the values that get a line and a label.
func (s scale) ticks() (ticks []float64) {
	switch s.kind {
	case Log, Millis:
		// 1, 2 and 5 over a short range, every k-th decade over a long one.
		decades := math.Log10(s.hi / s.lo)
		factors, skip := []float64{1}, max(math.Ceil(decades/(1.6*s.ticksN)), 1)
		if decades <= s.ticksN/2 {
			factors = []float64{1, 2, 5}
		}
		for d := math.Floor(math.Log10(s.lo) + 1e-9); d <= math.Log10(s.hi)+1e-9; d += skip {
			for _, m := range factors {
				if v := m * math.Pow(10, d); v >= s.lo*(1-1e-9) && v <= s.hi*(1+1e-9) {
					ticks = append(ticks, v)
				}
			}
		}
	case Nines:
		ticks = []float64{0, 50}
		for left := 10.0; 100-left <= s.hi+1e-9 && left > 1e-7; left /= 10 {
			ticks = append(ticks, 100-left)
		}
		ticks = append(ticks, 100)
	default:
		first := math.Ceil(s.lo/s.step - 1e-9)
		for i := 0.0; (first+i)*s.step <= s.hi+s.step*1e-9; i++ {
			ticks = append(ticks, (first+i)*s.step)
		}
	}
	return ticks
}

// Text writes a value of a kind with its unit, to three digits.
func Text(kind Kind, v float64) string {
	switch kind {
	case Bytes:
		for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
			if math.Abs(v) < 1024 {
				return digits(v) + " " + unit
			}
			v /= 1024
		}
		return digits(v) + " TiB"
	case Seconds:
		switch {
		case v >= 7200:
			return digits(v/3600) + " h"
		case v >= 300:
			return digits(v/60) + " min"
		}
		return digits(v) + " s"
	case Millis:
		if v >= 1000 {
			return digits(v/1000) + " s"
		}
		return digits(v) + " ms"
	case Nines:
		if v >= 100 {
			return "max"
		}
		return strconv.FormatFloat(math.Round(v*1e7)/1e7, 'f', -1, 64) + " %"
	}
	for _, unit := range []string{"", " k", " M"} {
		if math.Abs(v) < 1000 {
			return digits(v) + unit
		}
		v /= 1000
	}
	return digits(v) + " G"
}

// digits writes three significant digits, but all before the point.
func digits(v float64) string {
	decimals := 2
	if v != 0 {
		decimals = max(2-int(math.Floor(math.Log10(math.Abs(v)))), 0)
	}
	power := math.Pow(10, float64(min(decimals, 9)))
	return strconv.FormatFloat(math.Round(v*power)/power, 'f', -1, 64)
}
