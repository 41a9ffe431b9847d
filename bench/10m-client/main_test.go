package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"c10m/bench/load"
	"c10m/bench/report"
	"c10m/bench/scenario"
	"c10m/bench/usertcp"
)

// optionsOf parses a command line as main does.
func optionsOf(t *testing.T, line string) (scenario.Options, error) {
	t.Helper()
	var c commands
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(strings.Fields(line))
	if err != nil {
		return scenario.Options{}, err
	}
	selected := selectedCommand(parsed)
	o, err := selected.common().scenario()
	selected.options(&o)
	return o, err
}

// What others may see of a command line has no secret.
func TestResultsHoldNoSecrets(t *testing.T) {
	for _, args := range [][]string{
		{"10m-client", "127.0.0.1", "5", "--token", "s3cret"}, {"10m-client", "--token=s3cret", "127.0.0.1", "5"},
		{"10m-client", "fanout", "127.0.0.1", "5", "--bus-password", "s3cret", "--size", "50"}, {"10m-client", "--bus-password=s3cret"},
	} {
		got := withoutSecrets(args)
		if len(got) != len(args) || strings.Contains(strings.Join(got, " "), "s3cret") || got[len(got)-1] == "" {
			t.Errorf("%q became %q", args, got)
		}
	}
}

// Every scenario has its subcommand, and connect needs none.
func TestCommandLine(t *testing.T) {
	for line, check := range map[string]func(o *scenario.Options) bool{
		"127.0.0.1 100000": func(o *scenario.Options) bool {
			return o.Name == "connect" && o.Load.Spread.Connections == 100_000 && o.Load.Spread.FirstPort == 10000 &&
				o.Load.Spread.PerPort == 50_000 && o.Load.Retries == 5 && o.Load.HandshakeTimeout == 10*time.Second
		},
		"127.0.0.1 5 --expect 3 --hold 2s --print": func(o *scenario.Options) bool {
			return o.Expect == 3 && o.Hold == 2*time.Second && o.Load.Print
		},
		"fanout 127.0.0.1 5 --messages-rate 2.5 --duration 3s --size 99 --bus 127.0.0.1:1 --server-pid 7": func(o *scenario.Options) bool {
			return o.Name == "fanout" && o.Rate == 2.5 && o.Duration == 3*time.Second && o.Bytes == 99 && o.Bus == "127.0.0.1:1" && o.ServerPID == 7
		},
		"unicast 127.0.0.1 5": func(o *scenario.Options) bool { return o.Name == "unicast" && o.Rate == 1000 },
		"mixed 127.0.0.1 500 --probe-rate 9 --probes 3": func(o *scenario.Options) bool {
			return o.Name == "mixed" && o.Rate == 1 && o.ProbeRate == 9 && o.Probes == 3
		},
		"saturate 127.0.0.1 5 --messages 4 --in-flight 8": func(o *scenario.Options) bool {
			return o.Name == "saturate" && o.Messages == 4 && o.Duration == 0 && o.InFlight == 8
		},
		"saturate 127.0.0.1 5": func(o *scenario.Options) bool { return o.Messages == 0 && o.Duration == 10*time.Second },
		"storm 127.0.0.1 5": func(o *scenario.Options) bool {
			return o.Name == "storm" && o.Drop == 0 && o.Jitter == 10*time.Second && o.Reset
		},
		"storm 127.0.0.1 5 --jitter 0s --no-reset --drop 2": func(o *scenario.Options) bool {
			return o.Drop == 2 && o.Jitter == 0 && !o.Reset
		},
		"disconnect 127.0.0.1 500": func(o *scenario.Options) bool {
			return o.Name == "disconnect" && o.ProbeRate == 100 && o.Probes == 0 && o.Baseline == 5*time.Second && o.Within == 0 &&
				o.Reset && o.Duration == 10*time.Second && o.Bytes == 256
		},
		"disconnect 127.0.0.1 500 --probe-rate 9 --probes 3 --baseline 2s --within 1m --no-reset --duration 0s": func(o *scenario.Options) bool {
			return o.ProbeRate == 9 && o.Probes == 3 && o.Baseline == 2*time.Second && o.Within == time.Minute && !o.Reset && o.Duration == 0
		},
		"posts 127.0.0.1 16 --depth 16 --size 7 --duration 2s": func(o *scenario.Options) bool {
			return o.Name == "posts" && o.Depth == 16 && o.Bytes == 7 && o.Duration == 2*time.Second
		},
		"churn localhost 5 --churn-rate 7 --cores 0-1,4 --bind explicit --source 10.0.0.1": func(o *scenario.Options) bool {
			return o.Name == "churn" && o.ChurnRate == 7 && slices.Equal(o.Load.Cores, []int{0, 1, 4}) &&
				o.Load.Spread.Binding == load.BindExplicit && len(o.Load.Spread.Sources) == 1 && o.Load.Spread.Host.IsLoopback()
		},
		"fanout 127.0.0.1 5 --dialect events": func(o *scenario.Options) bool { return o.Load.Dialect.Name == "events" },
		"fanout 198.18.0.1 50000":             func(o *scenario.Options) bool { return o.Load.UserSpace == nil && o.Sample == 0 },
		"fanout 198.18.0.1 50000 --tun": func(o *scenario.Options) bool {
			u := o.Load.UserSpace
			return u != nil && u.Queues == 1 && u.AckDelay == 0 && u.Device == "c10m%d" && u.Rough == usertcp.Roughness{} && o.Sample == 500
		},
		"storm 198.18.0.1 5000000 --tun --tun-queues 4 --tun-ack 40ms --sample 7 --tun-device t --tun-loss 0.01 --tun-reorder 0.2": func(o *scenario.Options) bool {
			u := o.Load.UserSpace
			return u.Queues == 4 && u.AckDelay == 40*time.Millisecond && o.Sample == 7 && u.Device == "t" &&
				u.Rough == usertcp.Roughness{Lose: 0.01, Reorder: 0.2}
		},
	} {
		if o, err := optionsOf(t, line); err != nil || !check(&o) {
			t.Errorf("%s: %v; %+v", line, err, o)
		}
	}
	for line, wanted := range map[string]string{
		"127.0.0.1":                           "connections",
		"127.0.0.1 5 --bind glue":             "--bind",
		"127.0.0.1 5 --cores 3-1":             "--cores",
		"127.0.0.1 5 --cores x":               "--cores",
		"127.0.0.1 5 --cores 5000":            "--cores",
		"127.0.0.1 5 --source here":           "source address",
		"no.such.host.invalid 5":              "cannot find the host",
		"connect 127.0.0.1 5 --jitter 3s":     "unknown flag",
		"storm 127.0.0.1 5 --messages-rate x": "--messages-rate",
	} {
		if _, err := optionsOf(t, line); err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// The command line offers the dialects that there are.
func TestDialects(t *testing.T) {
	field, _ := reflect.TypeFor[commonFlags]().FieldByName("Dialect")
	if offered := strings.Join(load.DialectNames(), ","); field.Tag.Get("enum") != offered {
		t.Errorf("--dialect takes %s; there are %s", field.Tag.Get("enum"), offered)
	}
}

// Every flag says what it is for.
func TestHelp(t *testing.T) {
	var visit func(reflect.Type)
	visit = func(of reflect.Type) {
		for i := range of.NumField() {
			field := of.Field(i)
			if field.Anonymous {
				visit(field.Type)
				continue
			}
			if len(field.Tag.Get("help")) < 20 {
				t.Errorf("%s of %s has no help", field.Name, of.Name())
			}
			if field.Type.Kind() == reflect.Struct {
				visit(field.Type)
			}
		}
	}
	visit(reflect.TypeFor[commands]())
}

// Each message of others is told once, when it has reached everybody or nothing
// more seems to come.
func TestProgress(t *testing.T) {
	var words bytes.Buffer
	o := newOutput(&commonFlags{Connections: 10})
	o.words, o.bar = &words, report.NewProgress(&words, 10)
	s := &load.Snapshot{Wanted: 10}
	s.Open, s.Text = 10, 9
	s.Printed = []load.Printed{{Head: "hello", Bytes: 500, Connections: 9}}
	line := `message "hello"... (500 bytes) reached 9 of 10 connections` + "\n"
	for call, told := range []int{0, 1, 1} {
		o.progress(&report.Sample{Phase: "holding"}, s)
		if got := words.String(); strings.Count(got, line) != told {
			t.Errorf("call %d: %s", call, got)
		}
	}
	s.Text += 10
	s.Printed = []load.Printed{{Head: "x", Bytes: 1, Binary: true, Connections: 10}}
	o.progress(&report.Sample{Phase: "holding"}, s)
	if got := words.String(); !strings.HasSuffix(got, "message \"x\" (binary) reached 10 of 10 connections\n") {
		t.Errorf("%s", got)
	}
}

func TestComplete(t *testing.T) {
	good := report.Result{Connections: report.Connections{Wanted: 2, Opened: 2}}
	if !complete(&good) {
		t.Error("a good result fails")
	}
	bad := good
	bad.Fault = "1 lost"
	few := good
	few.Connections.Opened = 1
	if complete(&bad) || complete(&few) {
		t.Error("a bad result passes")
	}
}

// With --json, standard output is the result and nothing else.
func TestJSON(t *testing.T) {
	before := os.Stdout
	defer func() { os.Stdout = before }()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	os.Stdout = file
	page := filepath.Join(t.TempDir(), "page.html")
	o := newOutput(&commonFlags{JSON: true, HTML: page, Criteria: true})
	if o.words != os.Stderr {
		t.Error("words on the way go to standard output")
	}
	if err := o.write(&report.Result{Scenario: "storm", Connections: report.Connections{Wanted: 2}}); err != nil || o.pass {
		t.Errorf("%v, pass %v", err, o.pass)
	}
	if html, err := os.ReadFile(page); err != nil || !strings.Contains(string(html), "storm") {
		t.Errorf("the page: %v", err)
	}
	o.flags.HTML = filepath.Join(page, "no")
	if err := o.write(&report.Result{}); err == nil || !strings.Contains(err.Error(), "--html") {
		t.Errorf("a page that cannot be: %v", err)
	}
	o.flags.HTML = ""
	o.flags.JSONFile = filepath.Join(page, "no")
	if err := o.write(&report.Result{}); err == nil || !strings.Contains(err.Error(), "--json-file") {
		t.Errorf("a file that cannot be: %v", err)
	}
	text, err := os.ReadFile(file.Name())
	var back report.Result
	if err != nil || json.Unmarshal(text, &back) != nil || back.Scenario != "storm" {
		t.Errorf("%v: %s", err, text)
	}
}

// With --json-file, the result is in a file and in words, too.
func TestJSONFile(t *testing.T) {
	before := os.Stdout
	defer func() { os.Stdout = before }()
	said, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	os.Stdout = said
	name := filepath.Join(t.TempDir(), "result.json")
	o := newOutput(&commonFlags{JSONFile: name, Criteria: true})
	if err := o.write(&report.Result{Scenario: "churn", Connections: report.Connections{Wanted: 2}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	var back report.Result
	if err != nil || json.Unmarshal(text, &back) != nil || back.Scenario != "churn" || len(back.Criteria) == 0 {
		t.Errorf("%v: the file has %q", err, text)
	}
	if words, err := os.ReadFile(said.Name()); err != nil || !strings.HasPrefix(string(words), "run") {
		t.Errorf("%v: the words are %q", err, words)
	}
}

// A number that nothing behind a flag could hold is refused, and not cut to another.
func TestNumbersThatFitNowhereAreRefused(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel() // what is not refused ends at once
	for line, want := range map[string]string{
		"127.0.0.1 2147483648 --per-port 2147483647":               "number of connections",
		"127.0.0.1 5 --per-port 2147483648":                        "--per-port",
		"127.0.0.1 5 --expect 4294967297":                          "--expect",
		"127.0.0.1 5 --loops 9999999":                              "--loops",
		"127.0.0.1 5 --under-way 32769":                            "--under-way",
		"127.0.0.1 5 --rate 9223372036854775807":                   "--rate",
		"127.0.0.1 5 --retries 11":                                 "--retries",
		"fanout 127.0.0.1 5 --size 9223372036854775807":            "--size",
		"fanout 127.0.0.1 5 --size 536870913":                      "--size",
		"churn 127.0.0.1 5 --churn-rate 1e300 --messages-rate 0.1": "--churn-rate",
	} {
		o, err := optionsOf(t, line)
		if err == nil {
			_, err = scenario.Run(over, o)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}
