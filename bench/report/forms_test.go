package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func htmlOf(t *testing.T, r *Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func textOf(r *Result) string {
	var b bytes.Buffer
	Text(&b, r)
	return b.String()
}

// wellFormed parses strictly; the page is written so that it is XML, too.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

// full is a sample with all that a Result can have.
func full() *Result {
	r := sampleResult()
	r.Storm = &Storm{Dropped: 9001, JitterSeconds: 2, RecoverySeconds: 12, ServedSeconds: 13, Latency: Quantiles{7, 1, 2, 3, 4, 5, 6}}
	r.Churn = &Churn{Rate: 211, Disconnected: 8111, Reconnected: 8112, Latency: Quantiles{8, 11, 12, 13, 14, 15, 16}}
	r.Disconnect = &Disconnect{Ended: 9101, Stayed: 9102, LetGoSeconds: 41, Held: 9103, Unknown: "nobody counts them", MemorySeconds: 42,
		MemoryLeft: 43 << 20, Server: Memories{44 << 20, 45 << 20, 46 << 20}, Host: Memories{47 << 20, 48 << 20, 49 << 20},
		Latency: Quantiles{9, 21, 22, 23, 24, 25, 26}}
	r.Posts = &Posts{Connections: 9201, Depth: 9202, PayloadBytes: 9203, Published: 9204, Refused: 9205, PerSecond: 9206,
		Round: Quantiles{10, 31, 32, 33, 34, 35, 36}}
	r.Soak = &Soak{Seed: 77, Gaps: 2, Published: 1001, Lost: 31, AtRisk: 41, Certain: 21, SlowReaders: 51, SlowClosed: 49,
		Garbage: map[string]uint64{"a TLS hello": 61, "half a request": 62},
		Faults:  []Fault{{Name: "redis-killed", AtSeconds: 12.5, LastedSeconds: 2.5, RecoverySeconds: 0.5, Published: 33}}}
	r.UserSpace = &UserSpace{Connections: 700, Sample: 71, Queues: 3, AckMillis: 40, Segments: 801, Acks: 802, Retransmitted: 803,
		OutOfOrder: 804, Repeated: 805, ServerSegments: 9000, ServerRetransmitted: 806, DeviceDrops: 807}
	r.Streams[1].InFlight = 8
	r.Connections.GaveUp, r.Connections.Dropped = 3, 4
	r.Connections.Closes = map[uint16]uint64{1001: 5}
	r.Connections.Broken = map[string]uint64{"masked frame": 6}
	r.Connections.Problem = "dial: something odd"
	r.Fault = "6 masked frame"
	return r
}

// leaves calls change for each figure of v: it sets another value, and the
// figure's old one comes back after check.
func leaves(v reflect.Value, path string, check func(path string)) {
	swap := func(set func()) {
		before := reflect.ValueOf(v.Interface())
		set()
		check(path)
		v.Set(before)
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			leaves(v.Field(i), path+"."+v.Type().Field(i).Name, check)
		}
	case reflect.Pointer:
		leaves(v.Elem(), path, check)
	case reflect.Slice:
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s[%d]", path, i), check)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			before := v.MapIndex(key)
			v.SetMapIndex(key, reflect.ValueOf(uint64(123_456)))
			check(fmt.Sprintf("%s[%v]", path, key))
			v.SetMapIndex(key, before)
		}
	case reflect.Int:
		swap(func() { v.SetInt(v.Int()*7 + 1_234_567) })
	case reflect.Uint64:
		swap(func() { v.SetUint(v.Uint()*7 + 1_234_567) })
	case reflect.Float64:
		swap(func() { v.SetFloat(v.Float()*7 + 1_234_567) })
	case reflect.String:
		swap(func() { v.SetString(v.String() + " changed") })
	case reflect.Bool:
		swap(func() { v.SetBool(!v.Bool()) })
	default:
		panic("BUG: no figure of kind " + v.Kind().String() + " at " + path)
	}
}

// TestEachFigureIsOnThePage: another value of any figure gives another page.
// The time of the start and the samples have tests of their own.
func TestEachFigureIsOnThePage(t *testing.T) {
	r := full()
	samples := r.Samples
	r.Samples = nil
	// What was measured has to be in the tables; a headline is not enough.
	part := func(name string) string {
		page := htmlOf(t, r)
		switch name {
		case "Connections", "Streams", "Storm", "Churn", "Disconnect", "Usage", "UserSpace":
			return page[strings.Index(page, "All figures"):]
		}
		return page
	}
	seen, v := 0, reflect.ValueOf(r).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "Started" || name == "Samples" {
			continue
		}
		for s := range r.Streams {
			r.Streams[s].Curve = nil // is in a plot
		}
		before := part(name)
		leaves(v.Field(i), name, func(path string) {
			seen++
			if part(name) == before {
				t.Errorf("%s is not on the page", path)
			}
		})
	}
	if seen < 120 {
		t.Errorf("%d figures were looked at", seen)
	}
	r.Samples = samples[90:95] // of measuring, so that there are latencies
	before := htmlOf(t, r)
	leaves(reflect.ValueOf(&r.Samples[4]).Elem(), "Samples[4]", func(path string) {
		if htmlOf(t, r) == before {
			t.Errorf("%s is in no plot", path)
		}
	})
	r = full()
	if page := htmlOf(t, r); !strings.Contains(page, "14 March 2026, 15:09 UTC") {
		t.Error("the start is not on the page")
	}
}

func TestCurvesAreInThePlot(t *testing.T) {
	r := full()
	before := htmlOf(t, r)
	r.Streams[1].Curve[40].Millis *= 3
	if htmlOf(t, r) == before {
		t.Error("a point of a curve is in no plot")
	}
}

// TestLatencyHasGaps where nothing was delivered: 0 ms would be the best ever.
func TestLatencyHasGaps(t *testing.T) {
	r := &Result{Samples: seconds(1, 2, 0, 3, 4)}
	r.Samples[2].Deliveries = 0
	for _, c := range charts(r) {
		if c.Title != "Latency over time" {
			continue
		}
		if y := c.Series[0].Points[2].Y; !math.IsNaN(y) {
			t.Errorf("a second without deliveries has a latency of %g", y)
		}
		return
	}
	t.Error("there is no plot of the latency")
}

func TestThePageIsWellFormedAndSelfContained(t *testing.T) {
	page := htmlOf(t, full())
	wellFormed(t, page)
	// The name space of SVG is the only address, and nobody fetches it.
	rest := strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, "")
	if found := regexp.MustCompile(`(?i)https?:|\bsrc=|\bhref=|<link|<script|url\(|@import|\bon[a-z]+=`).FindString(rest); found != "" {
		t.Errorf("the page has %q in it", found)
	}
	for _, want := range []string{"prefers-color-scheme:dark", "do not show what a client&#39;s kernel costs", "width=device-width", "Latency by percentile", "Latency over time",
		"Deliveries a second", "Connections", "Connects a second", "Resident memory", "Memory in use on the host", "Cores in use"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(page, "<svg"); n != 8 {
		t.Errorf("%d plots, want 8", n)
	}
	if n := len(page); n > 300_000 {
		t.Errorf("the page has %d bytes", n)
	}
}

func TestNothingMeasured(t *testing.T) {
	for _, r := range []*Result{{}, {Streams: []Stream{{}}, Storm: &Storm{}, Churn: &Churn{}, Disconnect: &Disconnect{}, Samples: []Sample{{}}}} {
		page := htmlOf(t, r)
		wellFormed(t, page)
		if strings.Contains(page, "<svg") {
			t.Error("there is a plot of nothing")
		}
		for form, said := range map[string]string{"page": page, "text": textOf(r)} {
			for _, unknown := range []string{"NaN", "Inf", "per connection", "resident", "p99", "went wrong", "0001", "a second", "Linux"} {
				if strings.Contains(said, unknown) {
					t.Errorf("the %s says %q, and it is not known:\n%s", form, unknown, said)
				}
			}
		}
		if err := JSON(io.Discard, r); err != nil {
			t.Error(err)
		}
	}
}

// TestWhatIsUnknownIsLeftOut one by one, in text and page.
func TestWhatIsUnknownIsLeftOut(t *testing.T) {
	for _, test := range []struct {
		label  string
		forget func(*Result)
	}{
		{"server, per connection", func(r *Result) { r.Usage.ServerPerConn = 0 }},
		{"host, per connection", func(r *Result) { r.Usage.HostPerConn = 0 }},
		{"kernel slab", func(r *Result) { r.Usage.KernelPerConn = 0 }},
		{"server resident, all", func(r *Result) { r.Usage.ServerResident = 0 }},
		{"server resident, before", func(r *Result) { r.Usage.ServerBefore = 0 }},
		{"client resident", func(r *Result) { r.Usage.ClientResident = 0 }},
		{"client, highest", func(r *Result) { r.Usage.ClientCoresMax = 0 }},
		{"host, highest", func(r *Result) { r.Usage.HostCoresMax = 0 }},
		{"AMD", func(r *Result) { r.Host.Processor = "" }},
		{"Linux", func(r *Result) { r.Host.Kernel = "" }},
	} {
		r := sampleResult()
		for form, of := range map[string]func() string{"text": func() string { return strings.Join(strings.Fields(textOf(r)), " ") }, "page": func() string { return htmlOf(t, r) }} {
			r = sampleResult()
			if !strings.Contains(of(), test.label) {
				t.Errorf("the %s lacks %q", form, test.label)
			}
			test.forget(r)
			if strings.Contains(of(), test.label) {
				t.Errorf("the %s has %q, which is not known", form, test.label)
			}
		}
	}
}

func TestNamesAreEscaped(t *testing.T) {
	const evil = `</title><script>alert("1")</script>&`
	r := full()
	r.Scenario, r.Command, r.Fault, r.Host.Processor, r.Host.Kernel = evil, []string{evil}, evil, evil, evil
	r.Streams[0].Name, r.Connections.Problem, r.Samples[3].Phase = evil, evil, evil
	r.Connections.Failures[evil], r.Connections.Broken[evil] = 1, 1
	r.Bottlenecks = []string{evil}
	r.Criteria = []Criterion{{Name: evil, Wanted: evil, Got: evil}}
	page := htmlOf(t, r)
	wellFormed(t, page)
	if strings.Contains(page, "<script") {
		t.Error("a name became a part of the page")
	}
	if n := strings.Count(page, "&lt;script&gt;"); n < 12 {
		t.Errorf("the name is there %d times, want it in each place", n)
	}
	var svg bytes.Buffer
	if err := errors.Join(Bars(&svg, evil, evil, []string{evil}, []float64{1}), Curves(&svg, evil, []string{evil}, [][]Point{{{0, 1}, {100, 2}}})); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(svg.String(), "<script") {
		t.Error("a name became a part of a plot")
	}
}

func TestText(t *testing.T) {
	text := textOf(full())
	at := -1
	for _, want := range []string{"mixed with 1,000,000 connections", "WRONG        6 masked frame", "beware       The host was full", "beware       The publisher was late",
		"criteria     pass  connections", "FAIL  mean latency of fanout", "1,000,000 of 1,000,000 opened in 85.4 s, 11,709 a second",
		"closed with 1001 5", "for example: dial: something odd", "fanout       3,000,000 of 3,000,000 delivered; 63,025 deliveries a second",
		"storm        connections dropped 9,001", "churn        asked for 211", "disconnect   connections ended 9,101; stayed 9,102; until the server had closed the last 41 s", "p50      p90      p99    p99.9      max     mean  in ms",
		"0.430    1.120    2.710    6.400     14.2    0.610  unicast", "server, per connection 64 B", "server 1.02; client 0.92", "AMD EPYC",
		"--channel own/%d", "'run of today.html'"} {
		found := strings.Index(text, want)
		if found <= at {
			t.Errorf("%q is at %d, after %d:\n%s", want, found, at, text)
		}
		at = max(at, found)
	}
	for line := range strings.Lines(text) {
		if line != strings.TrimRight(line, " \n")+"\n" {
			t.Errorf("trailing space: %q", line)
		}
		if name := strings.TrimRight(line[:nameColumns], " "); strings.HasPrefix(name, " ") || line[nameColumns] != ' ' {
			t.Errorf("not in the columns: %q", line)
		}
	}
}

// What is not known, and what did not happen in time, is said in words.
func TestWhatADisconnectSays(t *testing.T) {
	host := Memories{1 << 30, 3 << 30, 2 << 30}
	for name, test := range map[string]struct {
		d             Disconnect
		says, saysNot []string
	}{
		"all is back": {Disconnect{Ended: 1234, Stayed: 5, LetGoSeconds: 6.5, MemorySeconds: 7.25, Host: host},
			[]string{"ended 1,234;", "stayed 5;", "closed the last 6.5 s;", "memory was back 7.25 s;", "left of what they took 0 B", "used before 1 GiB", "used with all 3 GiB", "used at the end 2 GiB"},
			[]string{"not", "resident"}},
		"the memory is not": {Disconnect{LetGoSeconds: 6.5, MemoryLeft: 512 << 20, Host: host},
			[]string{"memory not back", "took 512 MiB"}, []string{"was back"}},
		"the server holds on": {Disconnect{Ended: 9, Held: 8}, []string{"not closed by the server 8"}, []string{"until", "memory", "left"}},
		"nobody counts":       {Disconnect{Unknown: "reasons"}, []string{"not known, since reasons"}, []string{"until"}},
		"others gave more back": {Disconnect{Server: Memories{1 << 20, 2 << 20, 3 << 20}, Host: Memories{3 << 30, 2 << 30, 1 << 30}},
			[]string{"resident before 1 MiB", "resident with all 2 MiB", "resident at the end 3 MiB", "used with all 2 GiB"}, []string{"back", "left"}},
	} {
		text := &strings.Builder{}
		(&texter{w: text}).group("disconnect", disconnectFigures(&test.d))
		words := strings.Join(strings.Fields(text.String()), " ")
		for _, want := range test.says {
			if !strings.Contains(words, want) {
				t.Errorf("%s: it does not say %q: %s", name, want, words)
			}
		}
		for _, unwanted := range test.saysNot {
			if strings.Contains(words, unwanted) {
				t.Errorf("%s: it says %q: %s", name, unwanted, words)
			}
		}
		page := htmlOf(t, &Result{Disconnect: &test.d})
		wellFormed(t, page)
		if tile := strings.Contains(page, "until the server had let go"); tile != (test.d.LetGoSeconds > 0) {
			t.Errorf("%s: a headline is there: %v", name, tile)
		}
	}
}

func TestLongWordsAreNotBroken(t *testing.T) {
	long := strings.Repeat("x", 2*textColumnsMax)
	r := &Result{Fault: long + " and " + long, Connections: Connections{Problem: strings.Repeat("short words ", 40)}}
	text := textOf(r)
	if !strings.Contains(text, long) {
		t.Error("a long word is cut")
	}
	if n := strings.Count(text, "short"); n != 40 {
		t.Errorf("%d of 40 words are there", n)
	}
}

func TestJSONGivesTheSameResult(t *testing.T) {
	r, back := full(), &Result{}
	var b bytes.Buffer
	if err := JSON(&b, r); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, back) {
		t.Error("what was read is not what was written")
	}
	if htmlOf(t, back) != htmlOf(t, r) || textOf(back) != textOf(r) {
		t.Error("the forms of it differ")
	}
	r.Seconds = math.NaN()
	if JSON(io.Discard, r) == nil {
		t.Error("a NaN is no error")
	}
}

func TestConclusion(t *testing.T) {
	pass, fail := Criterion{Pass: true}, Criterion{}
	for _, test := range []struct {
		r    Result
		want string
		good bool
	}{
		{Result{Connections: Connections{Opened: 1}}, "Nothing went wrong.", true},
		{Result{Fault: "1 lost", Criteria: []Criterion{pass}}, "Something went wrong: 1 lost.", false},
		{Result{Criteria: []Criterion{pass, pass}}, "All 2 criteria passed.", true},
		{Result{Criteria: []Criterion{pass, fail}}, "1 of 2 criteria failed.", false},
	} {
		if got, good := conclusion(&test.r); got != test.want || good != test.good {
			t.Errorf("%q, %v; want %q, %v", got, good, test.want, test.good)
		}
	}
}

func TestFormats(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(-1_234_567), "-1,234,567"}, {Count(uint64(100_000)), "100,000"},
		{plural(1, "connect"), "1 connect"}, {plural(0, "connect"), "0 connects"},
		{Number(0.123456), "0.123"}, {Number(999.4), "999"}, {Number(63_024.6), "63,025"},
		{millis(0.2041), "0.204"}, {millis(14.26), "14.3"}, {millis(15_870), "15,870"},
		{size(uint64(70 << 20)), "70 MiB"}, {perConn(8270.4), "8,270 B"}, {perConn(64.25), "64.3 B"},
		{commandLine([]string{"a", "", "b c", "it's", "x=%d"}), `a '' 'b c' 'it'\''s' x=%d`},
		{hostLine(&Host{}), ""}, {hostLine(&Host{Cores: 1, Kernel: "Linux 6.18"}), "1 core, Linux 6.18"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestPlotsOfAComparison(t *testing.T) {
	var b bytes.Buffer
	if err := Bars(&b, "Memory", "bytes", []string{"c10m", "other", "third"}, []float64{64, 34_200, 0}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Memory (log scale)", "64 bytes", "34,200 bytes", "not measured", "third"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the bars lack %q", want)
		}
	}
	wellFormed(t, b.String())
	b.Reset()
	if err := Curves(&b, "Latency", []string{"c10m", "other"}, [][]Point{{{0, 1}, {99, 2}, {100, 3}}, {{0, 10}, {100, 3000}}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"c10m", "other", "99 %", "max", "1 s"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the curves lack %q", want)
		}
	}
	wellFormed(t, b.String())
	if Bars(&b, "", "", []string{"a"}, nil) == nil || Curves(&b, "", nil, [][]Point{nil}) == nil {
		t.Error("names without values are no error")
	}
}
