package plot

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// A Bar of a chart of bars. A value that is not above 0 was not measured.
type Bar struct {
	Name  string
	Value float64
	Label string // what stands behind the bar
}

const (
	barPixels     = 22.0
	barStep       = 32.0
	barsWidth     = 720.0
	barNameMax    = 260.0
	barBold       = 1.15 // the labels' width to that of plain text
	barEmptyLabel = "not measured"
)

// Bars writes horizontal bars, one below the other, as an SVG document. They
// stand on a log scale if the largest is more than logSpanMin times the
// smallest.
func Bars(w io.Writer, title string, bars []Bar) error {
	b := &strings.Builder{}
	height := 50 + barStep*float64(len(bars))
	s := barScale(bars)
	if s.kind == Log {
		title += " (log scale)"
	}
	open(b, "file", style, title, barsWidth, height)
	left, right := 0.0, 0.0
	bars = slices.Clone(bars) // the labels below are not the caller's
	for i := range bars {
		if !(bars[i].Value > 0) {
			bars[i].Label = barEmptyLabel
		}
		left, right = max(left, width(bars[i].Name)), max(right, barBold*width(bars[i].Label))
	}
	left = min(left, barNameMax) + 26
	room := max(barsWidth-left-right-24, 100)
	for i, bar := range bars {
		y := 42 + barStep*float64(i)
		text(b, left-10, y+16, "name", "end", bar.Name)
		length := 0.0
		if bar.Value > 0 {
			length = max(s.at(bar.Value)*room, 2)
			fmt.Fprintf(b, `<rect class="fill c%d" x="%.1f" y="%.1f" width="%.1f" height="%.0f" rx="3"><title>%s: %s</title></rect>`+"\n",
				i%colours, left, y, length, barPixels, html.EscapeString(bar.Name), html.EscapeString(bar.Label))
		}
		text(b, left+length+8, y+16, "value", "start", bar.Label)
	}
	fmt.Fprintf(b, `<path class="axis" d="M%.1f 36V%.1f"/>`+"\n</svg>\n", left, height-10)
	_, err := io.WriteString(w, b.String())
	return err
}

// barScale ends at the longest bar, and a log scale begins at a third of the
// shortest, so that it is seen.
func barScale(bars []Bar) scale {
	least, most := math.Inf(1), 0.0
	for _, bar := range bars {
		if bar.Value > 0 {
			least, most = min(least, bar.Value), max(most, bar.Value)
		}
	}
	switch {
	case most == 0:
		return scale{kind: Number, hi: 1}
	case most/least > logSpanMin:
		return scale{kind: Log, lo: least / 3, hi: most}
	}
	return scale{kind: Number, hi: most}
}
