// Package trylock is for threads that wait for nobody.
package trylock

import "sync"

// triesMax is some microseconds of tries: longer than anybody holds a mutex that is held for
// a few steps, unless the kernel took its processor away meanwhile.
const triesMax = 200

// Lock locks a mutex that others hold for a few steps only, and reports whether it could.
func Lock(mu *sync.Mutex) bool {
	for range triesMax {
		if mu.TryLock() {
			return true
		}
	}
	return false
}
