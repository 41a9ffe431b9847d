package admin

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"c10m/channel"
	"c10m/conn/operator"
	"c10m/conn/reasons"
	"c10m/internal/glob"
)

// The JSON of the operator's page.

type stateAnswer struct {
	Version     string       `json:"version"`
	UpSeconds   float64      `json:"upSeconds"`
	Columns     []string     `json:"columns"`
	Samples     []sample     `json:"samples"` // those after the one that was asked for
	Count       uint64       `json:"count"`   // of samples so far: what to ask for next
	Loops       []loopState  `json:"loops"`
	Connections int64        `json:"connections"`
	Channels    int64        `json:"channels"` // counted once per loop
	LogBytes    int64        `json:"logBytes"`
	Draining    bool         `json:"draining"`
	Bus         busAnswer    `json:"bus"`
	Memory      memoryAnswer `json:"memory"`
	Closes      closesAnswer `json:"closes"`
	Look        *lookAnswer  `json:"look"`
}

type busAnswer struct {
	Up         bool      `json:"up"`
	Reason     string    `json:"reason"`
	Since      time.Time `json:"since"`
	Gaps       uint64    `json:"gaps"`
	GapFrom    time.Time `json:"gapFrom,omitzero"`
	GapTo      time.Time `json:"gapTo,omitzero"`
	Reconnects uint64    `json:"reconnects"`
	Dropped    uint64    `json:"dropped"`
}

type memoryAnswer struct {
	ResidentBytes int64  `json:"residentBytes"`
	UsedBytes     int64  `json:"usedBytes"` // of LimitBytes; 0 and 0: the server does not look
	LimitBytes    int64  `json:"limitBytes"`
	Short         string `json:"short"` // why newcomers are refused, or empty
}

type closesAnswer struct {
	Seconds float64       `json:"seconds"` // that lately is about
	Reasons []closeReason `json:"reasons"` // those that occurred
}

type closeReason struct {
	Reason string `json:"reason"`
	Total  uint64 `json:"total"`
	Lately uint64 `json:"lately"`
}

type clientsAnswer struct {
	Channel     string            `json:"channel"`
	Connections int               `json:"connections"`
	Clients     []operator.Client `json:"clients"`
}

type disconnectAnswer struct {
	Clients int `json:"clients"` // that are or will be closed
}

type slowAnswer struct {
	operator.Client
	Behind  int     `json:"behind"`
	Seconds float64 `json:"seconds"`
}

type recentAnswer struct {
	SecondsAgo float64 `json:"secondsAgo"`
	Reason     string  `json:"reason"`
	Channel    string  `json:"channel"`
	Cut        bool    `json:"cut"`
}

type busyAnswer struct {
	Channel     string  `json:"channel"`
	Connections int     `json:"connections"`
	Messages    float64 `json:"messages"`   // per second
	Deliveries  float64 `json:"deliveries"` // per second
	Surplus     float64 `json:"surplus"`    // of the deliveries, that may be another channel's
}

type lookAnswer struct {
	Slowest  []slowAnswer   `json:"slowest"`
	Recent   []recentAnswer `json:"recent"`
	Busiest  []busyAnswer   `json:"busiest"`
	Counting bool           `json:"counting"` // Busiest has begun to count, so it may be empty
	Silent   int            `json:"silent"`   // loops that did not answer in time
}

type surveyAnswer struct {
	Channels    int             `json:"channels"` // that match, counted once per loop
	Connections int             `json:"connections"`
	Largest     []largestAnswer `json:"largest"`
	LoopSeconds float64         `json:"loopSeconds"` // that the walk took of the loop where it took longest
	Silent      int             `json:"silent"`
}

type largestAnswer struct {
	Channel     string `json:"channel"`
	Connections int    `json:"connections"`
	AtLeast     bool   `json:"atLeast"` // a loop that did not name it may have more of it
}

// A cached answer is made by one request at a time, and good for others for a while.
type cached[T any] struct {
	turn   chan struct{} // one token
	key    string
	answer *T
	until  time.Time
}

func newCached[T any]() cached[T] { return cached[T]{turn: make(chan struct{}, 1)} }

// get returns the answer for a key; made says for how long it is good. nil means
// that ctx was done before it was our turn.
func (c *cached[T]) get(ctx context.Context, key string, made func() (*T, time.Duration)) *T {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil
	}
	if c.answer == nil || c.key != key || time.Now().After(c.until) {
		answer, good := made()
		c.key, c.answer, c.until = key, answer, time.Now().Add(good)
	}
	return c.answer
}

// state is what changes every second.
func (p *operatorPage) state(w http.ResponseWriter, r *http.Request) {
	since, _ := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64) // all, if it is no number
	p.history.look(time.Now())
	samples, count, loops, mark := p.history.after(since)
	answer := stateAnswer{
		Version: p.sources.Version, UpSeconds: time.Since(p.history.started).Seconds(),
		Columns: columnNames[:], Samples: samples, Count: count, Loops: loops,
		Bus: p.bus(), Memory: p.memory(), Closes: p.closes(mark),
		Draining: p.sources.Draining(),
	}
	for _, loop := range p.sources.Loops {
		answer.Connections += loop.Conn.Open.Load()
		answer.Channels += loop.Channel.Channels.Load()
		answer.LogBytes += loop.Channel.LogBytes.Load()
	}
	// Not cut short with the request: others get this answer, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), operatorSecondsMax*time.Second)
	defer cancel()
	answer.Look = p.looks.get(ctx, "", func() (*lookAnswer, time.Duration) {
		looks := p.sources.Operator.Look(ctx)
		return newLookAnswer(looks, len(p.sources.Loops)), lookMillis * time.Millisecond
	})
	p.say(w, answer)
}

func (p *operatorPage) bus() busAnswer {
	health, stats := p.sources.Bus.Health(), p.sources.Bus.Stats()
	answer := busAnswer{
		Up: health.Up, Reason: health.Reason, Since: health.Since, Gaps: stats.Gaps,
		GapFrom: health.GapFrom, GapTo: health.GapTo, Reconnects: stats.Reconnects,
	}
	for _, n := range stats.Dropped {
		answer.Dropped += uint64(n)
	}
	return answer
}

func (p *operatorPage) memory() memoryAnswer {
	answer := memoryAnswer{ResidentBytes: residentBytes()}
	if memory := p.sources.Memory; memory != nil {
		answer.UsedBytes, answer.LimitBytes = memory.Usage()
		answer.Short = memory.Reason()
	}
	return answer
}

// closes are the reasons that occurred, those of late first.
func (p *operatorPage) closes(mark closeMark) closesAnswer {
	answer := closesAnswer{Seconds: time.Since(mark.at).Seconds(), Reasons: []closeReason{}}
	now := p.history.closes()
	for _, reason := range reasons.All() {
		if total := now[reason]; total > 0 {
			answer.Reasons = append(answer.Reasons, closeReason{reason.String(), total, total - mark.closes[reason]})
		}
	}
	slices.SortStableFunc(answer.Reasons, func(x, y closeReason) int {
		return cmp.Or(cmp.Compare(y.Lately, x.Lately), cmp.Compare(y.Total, x.Total))
	})
	return answer
}

// first are the rows that a table shows.
func first[T any](rows []T, order func(x, y T) int) []T {
	slices.SortFunc(rows, order)
	return rows[:min(len(rows), rowsShownMax)]
}

// newLookAnswer puts together what the loops said.
func newLookAnswer(looks []*operator.Look, loops int) *lookAnswer {
	answer := &lookAnswer{Slowest: []slowAnswer{}, Recent: []recentAnswer{}, Busiest: []busyAnswer{}, Silent: loops - len(looks)}
	busy := make(map[string]*busyAnswer)
	for _, look := range looks {
		for _, c := range look.Slowest {
			answer.Slowest = append(answer.Slowest, slowAnswer{c.Client, c.Behind, c.Since.Seconds()})
		}
		for _, c := range look.Closes {
			answer.Recent = append(answer.Recent, recentAnswer{float64(c.NanosAgo) / 1e9, c.Reason.String(), c.Channel, c.IsCut})
		}
		if look.BusyNanos == 0 {
			answer.Counting = true
			continue
		}
		seconds := float64(look.BusyNanos) / 1e9
		for _, b := range look.Busiest {
			sum := busy[b.Channel]
			if sum == nil {
				sum = &busyAnswer{Channel: b.Channel}
				busy[b.Channel] = sum
			}
			sum.Connections += b.Members
			// Each loop with members gets each message, so the most is the truth.
			sum.Messages = max(sum.Messages, float64(b.Messages)/seconds)
			sum.Deliveries += float64(b.Deliveries) / seconds
			sum.Surplus += float64(b.Surplus) / seconds
		}
	}
	for _, b := range busy {
		answer.Busiest = append(answer.Busiest, *b)
	}
	answer.Busiest = first(answer.Busiest, func(x, y busyAnswer) int {
		return cmp.Or(cmp.Compare(y.Deliveries, x.Deliveries), cmp.Compare(x.Channel, y.Channel))
	})
	answer.Slowest = first(answer.Slowest, func(x, y slowAnswer) int { return cmp.Compare(y.Seconds, x.Seconds) })
	answer.Recent = first(answer.Recent, func(x, y recentAnswer) int { return cmp.Compare(x.SecondsAgo, y.SecondsAgo) })
	return answer
}

func (p *operatorPage) channels(w http.ResponseWriter, r *http.Request) {
	pattern := r.URL.Query().Get("match")
	if len(pattern) > listPatternBytesMax {
		sayError(w, http.StatusBadRequest, "a pattern has at most "+strconv.Itoa(listPatternBytesMax)+" bytes")
		return
	}
	var match func(string) bool
	if pattern != "" && pattern != "*" {
		match = func(name string) bool { return glob.Match(pattern, name) }
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), surveySecondsMax*time.Second)
	defer cancel()
	answer := p.surveys.get(ctx, pattern, func() (*surveyAnswer, time.Duration) {
		answer := newSurveyAnswer(p.sources.Operator.Survey(ctx, match), len(p.sources.Loops))
		// So that it takes a hundredth of a loop's time at most, however many ask.
		good := time.Duration(answer.LoopSeconds * surveyShare * float64(time.Second))
		return answer, max(good, surveyMillisMin*time.Millisecond)
	})
	if answer == nil {
		w.Header().Set("Retry-After", strconv.Itoa(overloadRetrySeconds))
		sayError(w, http.StatusTooManyRequests, "another survey takes long; try again")
		return
	}
	p.say(w, answer)
}

func newSurveyAnswer(found []*channel.Surveyed, loops int) *surveyAnswer {
	answer := &surveyAnswer{Largest: []largestAnswer{}, Silent: loops - len(found)}
	sums := make(map[string]int)
	named := make(map[string]int) // loops that named it, or would have if they had it
	complete := 0                 // loops that named all that match
	for _, f := range found {
		answer.Channels += f.Channels
		answer.Connections += f.Members
		answer.LoopSeconds = math.Max(answer.LoopSeconds, float64(f.Nanos)/1e9)
		isComplete := f.Channels == len(f.Largest)
		if isComplete {
			complete++
		}
		for _, c := range f.Largest {
			sums[c.Channel] += c.Members
			if !isComplete {
				named[c.Channel]++
			}
		}
	}
	for name, members := range sums {
		answer.Largest = append(answer.Largest, largestAnswer{name, members, named[name] < loops-complete})
	}
	answer.Largest = first(answer.Largest, func(x, y largestAnswer) int {
		return cmp.Or(cmp.Compare(y.Connections, x.Connections), cmp.Compare(x.Channel, y.Channel))
	})
	return answer
}
