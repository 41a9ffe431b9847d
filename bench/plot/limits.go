package plot

// The limits of the room, with their reasons.
const (
	// stripsMax bounds the tooltips of a chart: a strip of 3 pixels can still
	// be pointed at, and a run of a day does not make a page of megabytes.
	stripsMax = 140
	// pointsPerPixelMax is when a line is thinned.
	pointsPerPixelMax = 2
	// maxNines is how much room the Nines scale has between the last
	// percentile and the maximum, in nines.
	maxNines = 0.3
	// letterPixels is the guessed width of most letters; 12 pixels high, in the
	// wider ones of the usual fonts.
	letterPixels = 7.2
	// colours is how many classes c0, c1 ... style.css has.
	colours = 10
	// logSpanMin is the ratio of the largest to the smallest bar from which the
	// small ones could no longer be told from nothing on a linear scale.
	logSpanMin = 50
)
