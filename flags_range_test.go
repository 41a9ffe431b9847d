package main

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"c10m/tuning"

	"github.com/alecthomas/kong"
)

func parseServe(t *testing.T, args ...string) (*serveFlags, error) {
	t.Helper()
	var f flags
	parser, err := kong.New(&f)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return &f.Serve, err
}

// No number is cut to another one without a word: what nothing behind a flag could
// hold is refused with a sentence that names the flag.
func TestNumbersThatFitNowhereAreRefused(t *testing.T) {
	for _, line := range []string{
		"--send-buffer 4GiB", "--send-buffer 513MiB", "--send-buffer 4294971904", "--send-buffer=-1",
		"--message-bytes 513MiB --log-bytes 1GiB --log-bytes-total 1GiB --history-bytes 1GiB",
		"--log-bytes 65GiB --log-bytes-total 65GiB", "--log-bytes 1025GiB", "--log-bytes 9223372036854775808",
		"--max-connections 4294967297", "--max-connections=-1", "--publish-keys 4294967296", "--sweep-rate 1000000001",
		"--ping-interval 25h", "--write-deadline 597h", "--drain 2562048h", "--bus-probe 25h", "--history-age 25h",
		"--address-connections 2147483648", "--address-rate 1000001/s", "--accept-rate 10000001", "--history 100001",
		"--admin-host ops:9100", "--admin-host http://ops",
	} {
		name, _, _ := strings.Cut(strings.Fields(line)[0], "=")
		_, err := parseServe(t, strings.Fields(line)...)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", line, err)
		}
	}
	f, err := parseServe(t, strings.Fields("--send-buffer 512MiB --message-bytes 512MiB --log-bytes 64GiB --log-bytes-total 1024GiB --history-bytes 1024GiB "+
		"--sweep-rate 1000000000 --max-connections 4294967296 --ping-interval 24h")...)
	if err != nil || f.SendBuffer != 512<<20 || f.LogBytesTotal != 1<<40 {
		t.Errorf("the largest of all: %v", err)
	}
}

// The same for every flag that takes a number, and for those that are still to come.
func TestEveryNumberHasALimit(t *testing.T) {
	hold := map[string]bool{ // 63 bits, or more than can be written, all the way
		"log-bytes-total": true, "history-bytes": true,
	}
	parser, err := kong.New(&flags{})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, command := range parser.Model.Children {
		if command.Name != "serve" {
			continue
		}
		for _, flag := range command.Flags {
			var values []string
			switch flag.Target.Interface().(type) {
			case byteSize:
				values = []string{"1024GiB"}
			case time.Duration:
				values = []string{"2540400h"}
			default:
				switch flag.Target.Kind() {
				case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64:
					values = []string{fmt.Sprint(math.MaxInt64), fmt.Sprint(1<<32 + 1)}
				default:
					continue
				}
			}
			seen++
			for _, value := range values {
				_, err := parseServe(t, "--"+flag.Name+"="+value)
				if flag.Name == "loops" {
					_, err = tuning.Plan(tuning.ThisHost(), tuning.Want{Connections: 1, Ports: 1, Loops: math.MaxInt64, FDTables: tuning.FDAuto})
				}
				if (err != nil) == hold[flag.Name] || err != nil && !strings.Contains(err.Error(), "--"+flag.Name) {
					t.Errorf("--%s %s: %v", flag.Name, value, err)
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("%d flags take numbers, and there were 15 and more", seen)
	}
}
