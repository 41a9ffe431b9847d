package admin

// The limits of this package, unit last in the name. The reason stands beside
// each.
const (
	// A scraper, a probe, an operator with a browser and a profile under way
	// are ten connections. More than these are closed unserved: each costs a
	// goroutine and a descriptor that WebSockets could have.
	connectionsMax = 64
	// Request line and headers. Probes and scrapers send a few hundred bytes,
	// a browser behind a proxy with cookies 2 KiB. net/http adds 4 KiB.
	headerBytesMax = 16 << 10
	// A peer that is slower than these holds its connection in vain
	// (slowloris). No page reads a body: the second bounds those that come
	// unasked, which net/http reads to keep the connection.
	headerSecondsMax  = 5
	requestSecondsMax = 10
	// Writing a page of 100 KB over loopback takes milliseconds; 30 s is a
	// peer that does not read. net/http/pprof adds the length of a profile.
	responseSecondsMax = 30
	// Longer than the usual scrape interval of 15 to 60 s, so that a scraper
	// keeps its connection.
	idleSecondsMax = 120
	// Scrapes at once. Each reads about 120 counters per loop; more than two
	// scrapers (one and its standby) is a mistake that should show.
	scrapesMax = 4
	// A CPU profile costs a few per cent, and a trace of five minutes is
	// gigabytes already. Whoever needs more fetches several.
	profileSecondsMax = 300
)
