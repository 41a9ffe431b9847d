package tuning

import "time"

// every calls look at each period, from a goroutine of its own, until stop is called.
func every(period time.Duration, look func(now time.Time)) (stop func()) {
	ticker, done, ended := time.NewTicker(period), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				look(now)
			}
		}
	}()
	return func() { close(done); <-ended }
}
