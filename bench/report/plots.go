package report

import (
	"fmt"
	"io"
	"math"

	"c10m/bench/plot"
)

// The colours of the page: the same thing has the same colour in every plot.
const (
	colourServer = iota
	colourClient
	colourThird
	colourFourth
	colourHost = 7
)

// Bars writes values as horizontal bars, with their unit behind them, as an SVG
// document. A value that is not above 0 is shown as not measured; if the
// others span more than 50 times, they stand on a log scale. It is an error if
// there are not as many names as values.
func Bars(w io.Writer, title, unit string, names []string, values []float64) error {
	if len(names) != len(values) {
		return fmt.Errorf("the plot %q has %d names for %d values", title, len(names), len(values))
	}
	bars := make([]plot.Bar, len(names))
	for i, name := range names {
		bars[i] = plot.Bar{Name: name, Value: values[i], Label: Number(values[i])}
		if unit != "" {
			bars[i].Label += " " + unit
		}
	}
	return plot.Bars(w, title, bars)
}

// Curves writes percentile curves of several servers over each other as an SVG
// document. It is an error if there are not as many names as curves.
func Curves(w io.Writer, title string, names []string, curves [][]Point) error {
	if len(names) != len(curves) {
		return fmt.Errorf("the plot %q has %d names for %d curves", title, len(names), len(curves))
	}
	c := plot.Chart{Title: title, X: plot.Nines, Y: plot.Millis, Width: 720, Height: 400}
	for i, name := range names {
		c.Series = append(c.Series, curve(name, i, curves[i]))
	}
	return c.File(w)
}

// curve is a percentile curve as a line.
func curve(name string, colour int, points []Point) plot.Series {
	s := plot.Series{Name: name, Colour: colour}
	for _, p := range points {
		s.Points = append(s.Points, plot.XY{X: p.Percentile, Y: p.Millis})
	}
	return s
}

// charts are the plots of a run, without those that would be empty.
func charts(r *Result) (list []plot.Chart) {
	add := func(title string, y plot.Kind, series ...plot.Series) {
		c := plot.Chart{Title: title, X: plot.Seconds, Y: y, Bands: phases(r.Samples)}
		for _, s := range series {
			if measured(s.Points) {
				c.Series = append(c.Series, s)
			}
		}
		if len(c.Series) > 0 {
			list = append(list, c)
		}
	}
	over := func(name string, colour int, value func(*Sample) float64) plot.Series {
		s := plot.Series{Name: name, Colour: colour}
		for i := range r.Samples {
			s.Points = append(s.Points, plot.XY{X: r.Samples[i].Seconds, Y: value(&r.Samples[i])})
		}
		return s
	}
	area := func(s plot.Series) plot.Series { s.Area = true; return s }

	percentiles := plot.Chart{Title: "Latency by percentile", X: plot.Nines, Y: plot.Millis}
	for i := range r.Streams {
		if s := &r.Streams[i]; len(s.Curve) > 0 {
			percentiles.Series = append(percentiles.Series, curve(s.Name, colourThird+i, s.Curve))
		}
	}
	if len(percentiles.Series) > 0 {
		list = append(list, percentiles)
	}
	add("Latency over time", plot.Millis,
		over("mean", colourThird, whenDelivered(func(s *Sample) float64 { return s.MeanMillis })),
		over("longest", colourFourth, whenDelivered(func(s *Sample) float64 { return s.MaxMillis })))
	add("Deliveries a second", plot.Number, area(over("deliveries a second", colourThird, func(s *Sample) float64 { return s.Deliveries })))
	add("Connections", plot.Number, area(over("open", colourServer, func(s *Sample) float64 { return float64(s.Open) })))
	add("Connects a second", plot.Number, area(over("connects a second", colourServer, func(s *Sample) float64 { return s.Connects })))
	add("Resident memory", plot.Bytes,
		over("server", colourServer, func(s *Sample) float64 { return float64(s.ServerResident) }),
		over("client", colourClient, func(s *Sample) float64 { return float64(s.ClientResident) }))
	add("Descriptors of the server", plot.Number, area(over("descriptors", colourServer, func(s *Sample) float64 { return float64(s.ServerDescriptors) })))
	add("Memory in use on the host", plot.Bytes, area(over("host", colourHost, func(s *Sample) float64 { return float64(s.HostUsed) })))
	add("Cores in use", plot.Number,
		over("server", colourServer, func(s *Sample) float64 { return s.ServerCores }),
		over("client", colourClient, func(s *Sample) float64 { return s.ClientCores }),
		over("host", colourHost, func(s *Sample) float64 { return s.HostCores }))
	return list
}

// whenDelivered makes gaps of the seconds in which nothing arrived, and so
// nothing had a latency.
func whenDelivered(value func(*Sample) float64) func(*Sample) float64 {
	return func(s *Sample) float64 {
		if s.Deliveries <= 0 {
			return math.NaN()
		}
		return value(s)
	}
}

// measured tells whether a line has anything to show: what is not known is 0
// all along.
func measured(points []plot.XY) bool {
	for _, p := range points {
		if p.Y > 0 {
			return true
		}
	}
	return false
}

// phases are the spans of samples of one phase. A sample is about the time
// since the one before.
func phases(samples []Sample) (bands []plot.Band) {
	for i := range samples {
		s := &samples[i]
		if n := len(bands); n > 0 && bands[n-1].Name == s.Phase {
			bands[n-1].To = s.Seconds
			continue
		}
		from := s.Seconds
		if i > 0 {
			from = samples[i-1].Seconds
		}
		bands = append(bands, plot.Band{Name: s.Phase, From: from, To: s.Seconds})
	}
	return bands
}
