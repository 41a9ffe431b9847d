//go:build race

package scenario

// raceDetector makes everything ten times slower.
const raceDetector = true
