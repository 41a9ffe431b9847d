package plot

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// elements parses an SVG and returns its start tags, each with the text in it.
type element struct {
	name  string
	attrs map[string]string
	text  string
}

func elements(t *testing.T, svg string) (list []element) {
	t.Helper()
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("a coordinate is not a number:\n%s", svg)
	}
	d, inside := xml.NewDecoder(strings.NewReader(svg)), []int(nil)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			inside = append(inside, len(list))
			list = append(list, e)
		case xml.EndElement:
			inside = inside[:len(inside)-1]
		case xml.CharData:
			if len(inside) > 0 {
				list[inside[len(inside)-1]].text += string(token)
			}
		}
	}
}

// ofClass are the elements that have a class.
func ofClass(list []element, class string) (found []element) {
	for _, e := range list {
		if slices.Contains(strings.Fields(e.attrs["class"]), class) {
			found = append(found, e)
		}
	}
	return found
}

func texts(list []element) (texts []string) {
	for _, e := range list {
		texts = append(texts, e.text)
	}
	return texts
}

func TestTicksAreRoundAndInOrder(t *testing.T) {
	for _, test := range []struct {
		kind   Kind
		values []float64
		want   string
	}{
		{Number, []float64{0, 9}, "0 2 4 6 8 10"},
		{Number, []float64{64_321}, "0 20 k 40 k 60 k 80 k"},
		{Number, []float64{3, 1.9}, "0 1 2 3"},
		{Bytes, []float64{70 << 20}, "0 B 16 MiB 32 MiB 48 MiB 64 MiB 80 MiB"},
		{Bytes, []float64{9 << 30}, "0 B 2 GiB 4 GiB 6 GiB 8 GiB 10 GiB"},
		{Seconds, []float64{1, 150}, "30 s 60 s 90 s 120 s 150 s"},
		{Seconds, []float64{0, 3700}, "0 s 15 min 30 min 45 min 60 min"},
		{Millis, []float64{0.2, 1900}, "1 ms 10 ms 100 ms 1 s"},
		{Millis, []float64{3, 30}, "2 ms 5 ms 10 ms 20 ms 50 ms"},
		{Nines, []float64{0, 99.97, 100}, "0 % 50 % 90 % 99 % 99.9 % max"},
		{Nines, []float64{0, 99.99, 100}, "0 % 50 % 90 % 99 % 99.9 % 99.99 % max"},
	} {
		s := newScale(test.kind, test.values, 5)
		var labels []string
		for _, v := range s.ticks() {
			labels = append(labels, Text(test.kind, v))
		}
		if got := strings.Join(labels, " "); got != test.want {
			t.Errorf("kind %d of %v has ticks %s, want %s", test.kind, test.values, got, test.want)
		}
	}
}

// TestScalesKeepTheOrder: whatever the values, they lie inside and in order,
// and no scale has a flood of ticks.
func TestScalesKeepTheOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		kind := Kind(random.IntN(int(Nines) + 1))
		values := make([]float64, 1+random.IntN(6))
		for i := range values {
			values[i] = math.Pow(10, 12*random.Float64()-4)
			if kind == Nines {
				values[i] = 100 * random.Float64()
			}
		}
		slices.Sort(values)
		s, before := newScale(kind, values, 5), 0.0
		for _, v := range values {
			place := s.at(v)
			if !(place >= before-1e-12 && place <= 1) {
				t.Fatalf("kind %d of %v: %g is at %g, after %g", kind, values, v, place, before)
			}
			before = place
		}
		if n := len(s.ticks()); n > 14 {
			t.Fatalf("kind %d of %v has %d ticks", kind, values, n)
		}
	}
}

func TestEachNineTakesAsMuchRoom(t *testing.T) {
	s := newScale(Nines, []float64{0, 99.9, 100}, 5)
	first, second, third := s.at(90)-s.at(0), s.at(99)-s.at(90), s.at(99.9)-s.at(99)
	if math.Abs(first-second) > 1e-9 || math.Abs(second-third) > 1e-9 {
		t.Errorf("nines take %g, %g and %g", first, second, third)
	}
	if s.at(100) != 1 || s.at(99.9) >= 1 {
		t.Errorf("99.9 is at %g and the maximum at %g, want it at 1 and apart", s.at(99.9), s.at(100))
	}
}

func TestText(t *testing.T) {
	for _, test := range []struct {
		kind Kind
		v    float64
		want string
	}{
		{Number, 0, "0"}, {Number, 0.12345, "0.123"}, {Number, 999, "999"}, {Number, 1234, "1.23 k"}, {Number, 63_025, "63 k"},
		{Number, 1_310_000, "1.31 M"}, {Number, 5e9, "5 G"},
		{Bytes, 72, "72 B"}, {Bytes, 4117, "4.02 KiB"}, {Bytes, 70 << 20, "70 MiB"}, {Bytes, 37.5 * (1 << 30), "37.5 GiB"}, {Bytes, 1 << 41, "2 TiB"},
		{Seconds, 0.5, "0.5 s"}, {Seconds, 299, "299 s"}, {Seconds, 600, "10 min"}, {Seconds, 10_800, "3 h"},
		{Millis, 0.2041, "0.204 ms"}, {Millis, 88.23, "88.2 ms"}, {Millis, 15_870, "15.9 s"}, {Log, 20_000, "20 k"},
		{Nines, 99.9, "99.9 %"}, {Nines, 100, "max"},
	} {
		if got := Text(test.kind, test.v); got != test.want {
			t.Errorf("Text(%d, %g) is %q, want %q", test.kind, test.v, got, test.want)
		}
	}
}

func line(ys ...float64) (points []XY) {
	for i, y := range ys {
		points = append(points, XY{float64(i), y})
	}
	return points
}

func TestChartHasItsLinesNamesAndTooltips(t *testing.T) {
	c := Chart{Title: `<Memory> & "more"`, X: Seconds, Y: Bytes,
		Series: []Series{
			{Name: "server", Colour: 3, Area: true, Points: line(0, 1<<20, 2<<20)},
			{Name: "a < b", Colour: 13, Thin: true, Points: []XY{{0, 1 << 20}, {2, 3 << 20}}},
		},
		Bands: []Band{{"connecting", 0, 1}, {"measuring", 1, 2}}}
	list := elements(t, c.Inline())
	if got := texts(ofClass(list, "title")); !slices.Equal(got, []string{c.Title}) {
		t.Errorf("titles %q", got)
	}
	names := texts(ofClass(list, "name"))
	if want := []string{"server", "a < b", "connecting", "measuring"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	if n := len(ofClass(list, "area")); n != 1 {
		t.Errorf("%d areas, want that of one line", n)
	}
	if n := len(ofClass(list, "c3")); n != 5 {
		t.Errorf("%d elements have colour 3, want the swatches and lines of both and one area, as 13 is 3 again", n)
	}
	var tips []string
	for i, e := range list {
		if e.attrs["class"] == "strip" {
			tips = append(tips, list[i+1].text)
		}
	}
	want := []string{"0 s\nserver: 0 B\na < b: 1 MiB", "1 s\nserver: 1 MiB\na < b: 2 MiB", "2 s\nserver: 2 MiB\na < b: 3 MiB"}
	if !slices.Equal(tips, want) {
		t.Errorf("tooltips %q, want %q", tips, want)
	}
}

func TestOneLineNeedsNoLegend(t *testing.T) {
	list := elements(t, Chart{Title: "x", Series: []Series{{Name: "only", Points: line(1, 2)}}}.Inline())
	if names := texts(ofClass(list, "name")); len(names) > 0 {
		t.Errorf("legend %q", names)
	}
}

func TestGapsSplitALine(t *testing.T) {
	gap := math.NaN()
	list := elements(t, Chart{Series: []Series{{Points: line(gap, 1, 2, gap, 3, gap, gap, 4, 5)}}}.Inline())
	path := ofClass(list, "line")[0].attrs["d"]
	if n := strings.Count(path, "M"); n != 3 {
		t.Errorf("%d pieces, want 3: %s", n, path)
	}
	if n := strings.Count(path, "h0.1"); n != 1 {
		t.Errorf("%d dots for single points, want 1: %s", n, path)
	}
}

func TestNothingToDraw(t *testing.T) {
	for _, points := range [][]XY{nil, line(math.NaN(), math.NaN()), line(0), line(0, 0), line(math.Inf(1))} {
		for kind := Number; kind <= Nines; kind++ {
			elements(t, Chart{Title: "nothing", X: kind, Y: kind, Series: []Series{{Name: "a", Points: points}}}.Inline())
		}
	}
	elements(t, Chart{}.Inline())
}

func TestALongRunIsThinnedButKeepsItsPeaks(t *testing.T) {
	points := make([]XY, 100_000)
	for i := range points {
		points[i] = XY{float64(i), 10}
	}
	points[54_321].Y, points[77_777].Y = 1000, 1
	kept := thinned(points, 800)
	if len(kept) > 800 {
		t.Errorf("%d points are left of 800", len(kept))
	}
	for _, peak := range []XY{points[54_321], points[77_777]} {
		if !slices.Contains(kept, peak) {
			t.Errorf("%v is lost", peak)
		}
	}
	if !slices.IsSortedFunc(kept, func(a, b XY) int { return int(a.X - b.X) }) {
		t.Error("the points are out of order")
	}
	svg := Chart{X: Seconds, Series: []Series{{Name: "a", Points: points}}}.Inline()
	if n := len(ofClass(elements(t, svg), "strip")); n > stripsMax || n < stripsMax/2 {
		t.Errorf("%d tooltips, want up to %d", n, stripsMax)
	}
	if len(svg) > 100_000 {
		t.Errorf("the plot has %d bytes", len(svg))
	}
}

func TestTheFileStandsAlone(t *testing.T) {
	var b strings.Builder
	if err := (Chart{Title: "x", Series: []Series{{Points: line(1, 2)}}}).File(&b); err != nil {
		t.Fatal(err)
	}
	list := elements(t, b.String())
	if list[1].name != "style" || len(ofClass(list, "ground")) != 1 || list[0].attrs["width"] == "" {
		t.Error("a file needs its style, its ground and its size")
	}
	if regexp.MustCompile(`(?i)url\(|@import|href`).MatchString(b.String()) {
		t.Error("the file asks somebody for something")
	}
	inline := elements(t, Chart{Title: "x"}.Inline())
	if len(ofClass(inline, "ground")) != 0 || inline[1].name == "style" {
		t.Error("an inline chart has the style and the ground of its page")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestWriteErrorsComeBack(t *testing.T) {
	if (Chart{}).File(failing{}) == nil || Bars(failing{}, "", nil) == nil {
		t.Error("an error of the writer is lost")
	}
}

// lengths are the widths of the bars.
func lengths(t *testing.T, bars []Bar) (list []float64, svg string) {
	var b strings.Builder
	if err := Bars(&b, "plot", bars); err != nil {
		t.Fatal(err)
	}
	for _, e := range ofClass(elements(t, b.String()), "fill") {
		v, err := strconv.ParseFloat(e.attrs["width"], 64)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list, b.String()
}

func TestBarsAreLinearUntilTheyCannotBe(t *testing.T) {
	linear, svg := lengths(t, []Bar{{"a", 100, "100 B"}, {"b", 50, "50 B"}, {"c", 2, "2 B"}})
	if math.Abs(linear[0]-2*linear[1]) > 0.2 || math.Abs(linear[0]-50*linear[2]) > 5 {
		t.Errorf("lengths %v are not as 100 to 50 to 2", linear)
	}
	if strings.Contains(svg, "log scale") {
		t.Error("50 times is linear")
	}
	logs, svg := lengths(t, []Bar{{"a", 1000, ""}, {"b", 100, ""}, {"c", 10, ""}})
	if d, e := logs[0]-logs[1], logs[1]-logs[2]; math.Abs(d-e) > 0.2 || d <= 0 {
		t.Errorf("lengths %v are not equal steps", logs)
	}
	if !strings.Contains(svg, "log scale") {
		t.Error("a log scale says so")
	}
}

func TestBarsThatWereNotMeasured(t *testing.T) {
	bars := []Bar{{"<a>", 3, "3"}, {"b", 0, "0"}, {"c", math.NaN(), "NaN"}}
	drawn, svg := lengths(t, bars)
	if len(drawn) != 1 || strings.Count(svg, barEmptyLabel) != 2 {
		t.Errorf("%d bars, %d not measured, want 1 and 2", len(drawn), strings.Count(svg, barEmptyLabel))
	}
	if bars[1].Label != "0" {
		t.Error("the caller's labels are changed")
	}
	if drawn, _ := lengths(t, []Bar{{"a", 0, ""}}); len(drawn) != 0 {
		t.Error("a bar of nothing is drawn")
	}
}

// TestEverythingIsInsideThePicture with labels of any length.
func TestEverythingIsInsideThePicture(t *testing.T) {
	var bars []Bar
	for i := range 12 {
		bars = append(bars, Bar{strings.Repeat("name ", i), math.Pow(7, float64(i)), fmt.Sprintf("%d deliveries a second", i)})
	}
	var b strings.Builder
	if err := Bars(&b, "bars", bars); err != nil {
		t.Fatal(err)
	}
	for _, e := range ofClass(elements(t, b.String()), "value") {
		x, err := strconv.ParseFloat(e.attrs["x"], 64)
		if err != nil {
			t.Fatal(err)
		}
		if end := x + width(e.text); end > barsWidth {
			t.Errorf("%q ends at %g of %g", e.text, end, barsWidth)
		}
	}
}
