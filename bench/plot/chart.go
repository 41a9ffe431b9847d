package plot

import (
	_ "embed"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"sort"
	"strings"
)

//go:embed style.css
var style string

// CSS is the style sheet that a page with Inline charts needs once.
func CSS() string { return style }

// XY is a point of a line. A Y that is no finite number is a gap.
type XY struct{ X, Y float64 }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Series is one line. Its points are in the order of X.
type Series struct {
	Name   string
	Colour int  // 0 to 9; the same thing has the same colour in every chart
	Area   bool // fill what is below
	Thin   bool // dashed: less important than the others
	Points []XY
}

// A Band is a span of X with a name, shaded by turns.
type Band struct {
	Name     string
	From, To float64
}

// Chart is a plot of lines.
type Chart struct {
	Title         string
	X, Y          Kind
	Width, Height float64 // in pixels; 0 is 520 by 270
	Series        []Series
	Bands         []Band
}

// frame is the room of the lines inside a chart.
type frame struct {
	left, top, right, bottom float64
	x, y                     scale
}

// px and py are the place of a value.
func (f *frame) px(v float64) float64 { return f.left + f.x.at(v)*(f.right-f.left) }
func (f *frame) py(v float64) float64 { return f.bottom - f.y.at(v)*(f.bottom-f.top) }

// Inline is the chart as an <svg> element.
func (c Chart) Inline() string { return c.draw("inline", "") }

// File writes the chart as an SVG document.
func (c Chart) File(w io.Writer) error {
	_, err := io.WriteString(w, c.draw("file", style))
	return err
}

func (c Chart) draw(class, css string) string {
	if c.Width == 0 {
		c.Width, c.Height = 520, 270
	}
	b := &strings.Builder{}
	open(b, class, css, c.Title, c.Width, c.Height)
	f := c.frame(legend(b, c.Series, c.Width))
	c.drawGround(b, &f)
	for _, s := range c.Series {
		drawSeries(b, &f, s)
	}
	c.drawStrips(b, &f)
	b.WriteString("</svg>\n")
	return b.String()
}

// open begins an <svg> with its title, and with a ground if it stands alone.
func open(b *strings.Builder, class, css, title string, width, height float64) {
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" class="plot %s" viewBox="0 0 %.0f %.0f"`, class, width, height)
	if css != "" {
		fmt.Fprintf(b, ` width="%.0f" height="%.0f"`, width, height)
	}
	fmt.Fprintf(b, ` role="img" aria-label="%s">`+"\n", html.EscapeString(title))
	if css != "" {
		fmt.Fprintf(b, "<style>%s</style>\n", css)
		fmt.Fprintf(b, `<rect class="ground" x="0.5" y="0.5" width="%.0f" height="%.0f" rx="8"/>`+"\n", width-1, height-1)
	}
	text(b, 14, 24, "title", "start", title)
}

func text(b *strings.Builder, x, y float64, class, anchor, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`+"\n", x, y, class, anchor, html.EscapeString(s))
}

// width guesses how wide a text is.
func width(s string) (pixels float64) {
	for _, r := range s {
		switch {
		case strings.ContainsRune("iljtfrI .,:;/()|'-", r):
			pixels += letterPixels * 0.6
		case strings.ContainsRune("mwMW%", r):
			pixels += letterPixels * 1.5
		default:
			pixels += letterPixels
		}
	}
	return pixels
}

// legend names the lines, if there are several, and returns where it ends.
func legend(b *strings.Builder, series []Series, chartWidth float64) (bottom float64) {
	x, y := 14.0, 44.0
	if len(series) < 2 {
		return 34
	}
	for _, s := range series {
		if x > 14 && x+20+width(s.Name) > chartWidth-10 {
			x, y = 14, y+18
		}
		fmt.Fprintf(b, `<path class="line%s c%d" d="M%.1f %.1fh14"/>`, thin(s), s.Colour%colours, x, y-4)
		text(b, x+20, y, "name", "start", s.Name)
		x += 34 + width(s.Name)
	}
	return y + 10
}

func thin(s Series) string {
	if s.Thin {
		return " thin"
	}
	return ""
}

// frame finds the scales, and the margins that their labels need.
func (c *Chart) frame(top float64) frame {
	var xs, ys []float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			xs, ys = append(xs, p.X), append(ys, p.Y)
		}
	}
	f := frame{top: top + 8, right: c.Width - 18, bottom: c.Height - 30}
	if len(c.Bands) > 0 {
		f.top += 8 // for their names
	}
	f.x, f.y = newScale(c.X, xs, c.Width/75), newScale(c.Y, ys, max((f.bottom-f.top)/38, 2))
	widest := 0.0
	for _, v := range f.y.ticks() {
		widest = max(widest, width(Text(c.Y, v)))
	}
	f.left = max(widest*1.15+14, 34) // narrow screens have larger letters
	return f
}

// drawGround draws bands, grid, axes and their labels.
func (c *Chart) drawGround(b *strings.Builder, f *frame) {
	for i, band := range c.Bands {
		from, to := f.px(band.From), f.px(band.To)
		odd := ""
		if i%2 == 1 {
			odd = " odd"
		}
		fmt.Fprintf(b, `<rect class="band%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`+"\n", odd, from, f.top, max(to-from, 0), f.bottom-f.top)
		if width(band.Name)+8 < to-from {
			text(b, from+2, f.top-5, "name", "start", band.Name)
		}
	}
	for _, v := range f.y.ticks() {
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fH%.1f"/>`, f.left, f.py(v), f.right)
		text(b, f.left-7, f.py(v)+4, "tick", "end", Text(c.Y, v))
	}
	fmt.Fprintf(b, `<path class="axis" d="M%.1f %.1fH%.1f"/>`+"\n", f.left, f.bottom, f.right)
	room := math.Inf(-1) // where the label before ends
	for _, v := range f.x.ticks() {
		x, label := f.px(v), Text(c.X, v)
		fmt.Fprintf(b, `<path class="axis" d="M%.1f %.1fv4"/>`, x, f.bottom)
		x = min(x, c.Width-4-width(label)/2)
		if x-width(label)/2 > room {
			text(b, x, f.bottom+18, "tick", "middle", label)
			room = x + width(label)/2 + letterPixels
		}
	}
}

// drawSeries draws a line, with a dot for a point between two gaps.
func drawSeries(b *strings.Builder, f *frame, s Series) {
	var line, area strings.Builder
	points := thinned(s.Points, int((f.right-f.left)*pointsPerPixelMax))
	for i := 0; i < len(points); {
		if !finite(points[i].Y) {
			i++
			continue
		}
		first := i
		for ; i < len(points) && finite(points[i].Y); i++ {
			fmt.Fprintf(&line, "%c%.1f %.1f", "ML"[min(i-first, 1)], f.px(points[i].X), f.py(points[i].Y))
			fmt.Fprintf(&area, "%c%.1f %.1f", "ML"[min(i-first, 1)], f.px(points[i].X), f.py(points[i].Y))
		}
		if i-first == 1 {
			line.WriteString("h0.1")
		}
		fmt.Fprintf(&area, "V%.1fH%.1fZ", f.bottom, f.px(points[first].X))
	}
	if line.Len() == 0 {
		return
	}
	if s.Area {
		fmt.Fprintf(b, `<path class="area c%d" d="%s"/>`+"\n", s.Colour%colours, area.String())
	}
	fmt.Fprintf(b, `<path class="line%s c%d" d="%s"><title>%s</title></path>`+"\n", thin(s), s.Colour%colours, line.String(), html.EscapeString(s.Name))
}

// thinned keeps the smallest and the largest of each group of points, in their
// order, if there are more than limit.
func thinned(points []XY, limit int) []XY {
	if len(points) <= limit || limit < 2 {
		return points
	}
	kept, groups := make([]XY, 0, limit), limit/2
	for g := range groups {
		group := points[g*len(points)/groups : (g+1)*len(points)/groups]
		least, most := 0, 0
		for i, p := range group {
			if p.Y < group[least].Y || math.IsNaN(group[least].Y) {
				least = i
			}
			if p.Y > group[most].Y || math.IsNaN(group[most].Y) {
				most = i
			}
		}
		kept = append(kept, group[min(least, most)])
		if least != most {
			kept = append(kept, group[max(least, most)])
		}
	}
	return kept
}

// drawStrips lays the tooltips over the lines.
func (c *Chart) drawStrips(b *strings.Builder, f *frame) {
	var xs []float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			xs = append(xs, p.X)
		}
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	if every := (len(xs) + stripsMax - 1) / stripsMax; every > 1 {
		for i := range (len(xs) + every - 1) / every {
			xs[i] = xs[min(i*every+every/2, len(xs)-1)]
		}
		xs = xs[:(len(xs)+every-1)/every]
	}
	for i, x := range xs {
		from, to := f.left, f.right
		if i > 0 {
			from = (f.px(xs[i-1]) + f.px(x)) / 2
		}
		if i < len(xs)-1 {
			to = (f.px(x) + f.px(xs[i+1])) / 2
		}
		tip := []string{Text(c.X, x)}
		for _, s := range c.Series {
			if y := s.at(x); finite(y) {
				tip = append(tip, s.Name+": "+Text(c.Y, y))
			}
		}
		fmt.Fprintf(b, `<rect class="strip" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>`+"\n",
			from, f.top, max(to-from, 0), f.bottom-f.top, html.EscapeString(strings.Join(tip, "\n")))
	}
}

// at is the value of the line at x, between two points of it on the straight
// line that is drawn there.
func (s *Series) at(x float64) float64 {
	i := sort.Search(len(s.Points), func(i int) bool { return s.Points[i].X >= x })
	switch {
	case i == len(s.Points):
		return math.NaN()
	case s.Points[i].X == x:
		return s.Points[i].Y
	case i == 0:
		return math.NaN()
	}
	before, after := s.Points[i-1], s.Points[i]
	return before.Y + (after.Y-before.Y)*(x-before.X)/(after.X-before.X)
}
