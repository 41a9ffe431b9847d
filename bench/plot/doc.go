// Package plot draws lines and bars as SVG text: what the page of a run and the
// comparison of servers need, and no more.
//
//	svg := plot.Chart{Title: "Memory", Y: plot.Bytes, Series: series}.Inline()
//
// It owns no state. A Chart is a value, and whoever fills it may share it
// between goroutines.
//
// # Two forms
//
// Inline is for a page that has CSS() once in its head; File is a complete SVG
// document with that style inside, for an <img> in Markdown. Both carry colours
// only as classes, so that prefers-color-scheme decides. A File paints its own
// ground: the page around an <img> may be dark while the reader's system is
// light, and letters of one colour cannot be read on both.
//
// # Tooltips without a script
//
// Over the lines lie invisible strips, one per point (stripsMax at most), each
// with a <title> that gives the value of every line there. Browsers show it,
// and screen readers read it.
//
// # Limits
//
// Ten colours; the eleventh line has the first colour again. A line of more
// than two points per pixel is thinned to the smallest and largest of each
// pixel, so no peak is lost. Text is measured by a guess of width per letter,
// which suits the usual sans-serif fonts.
//
// # Why not a library
//
// github.com/wcharczuk/go-chart/v2 v2.1.2 was tried on the percentile curve.
// Its points are whole pixels, which makes steps of a flat curve; a line longer
// than the axis leaves the frame; the title lies on the legend; and it writes
// colours into style attributes, where no style sheet of the page reaches them,
// so there is no dark form. It would have brought a font renderer, too.
//
// # What looks wrong but is deliberate
//
//   - The percentile 100 has a place at the right edge of the Nines scale,
//     though it is infinitely far away: the largest value belongs in the picture.
//   - Values that a Log scale has no place for (0 and less) are drawn at its
//     lower end: a latency of 0 is one below the clock's resolution.
//   - Bars on a log scale begin a little below the smallest value, not at 0,
//     and the plot says that it is one.
package plot
