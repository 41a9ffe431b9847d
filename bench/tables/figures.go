package main

import (
	"fmt"
	"regexp"
)

// A figure is a row. Each match of its pattern in a run's file is a value.
type figure struct {
	run    string // of scripts/results: its text has the commit
	what   string
	target string
	lower  bool           // is better
	value  *regexp.Regexp // of one number
	by     *regexp.Regexp // values are quotients: the same match of this one divides
	match  int            // only this one of each file, from 1 on; 0: all
	scale  float64        // if not 1
	unit   string
}

func of(pattern string) *regexp.Regexp { return regexp.MustCompile("(?m)" + pattern) }

func posts(connections, depth int) string {
	return fmt.Sprintf(`\b%d connections, %d under way on each, 64 bytes: ([\d,]+) posts`, connections, depth)
}

var (
	ratioToFloor    = of(`^\d+ +ratio +([\d.]+)$`)
	ratioToBatching = of(`^\d+ +ratio +([\d.]+) +\(to the floor that batches\)$`)
	serverRate      = of(`^\d+ +server +(\d+)`)
	serverPerCore   = of(`^\d+ +server +\d+ +[\d.]+ +[\d.]+ +(\d+)`)
	floorPerCore    = of(`^\d+ +floor +\d+ +[\d.]+ +[\d.]+ +(\d+)`)
	batchingPerCore = of(`^\d+ +batches +\d+ +[\d.]+ +[\d.]+ +(\d+)`)
	bareRate        = of(`^\d+ +server/bare +rate ([\d.]+)`)
	exchangeRate    = of(`^\d+ +server/exchange +rate ([\d.]+)`)
	bareTime        = of(`^\d+ +server/bare +rate [\d.]+ +time ([\d.]+)`)
	bareMemory      = of(`^\d+ +server/bare .* memory ([\d.]+)`)
	connectRate     = of(`^\d+ +server +[\d.]+ +(\d+)`)
	serverPing      = of(`^\d+ +server +\d+ +([\d.]+)`)
	pingerPing      = of(`^\d+ +pinger +\d+ +([\d.]+)`)
	opened          = of(`opened\s+in\s+[\d.]+\s+s,\s+([\d,]+)\s+a\s+second`)
	residentMiB     = of(`server\s+resident,\s+all\s+connected\s+([\d.,]+)\s+MiB`)
	hostPerPair     = of(`both\s+ends\s+([\d,]+)\s+B`)
	deliveries      = of(`^fanout +[\d,]+ of [\d,]+ delivered; ([\d,]+) deliveries a second`)
	lost            = of(`lost (\d+), duplicated`)
	unicastP99      = of(`^ +[\d,.]+ +[\d,.]+ +([\d,.]+) +[\d,.]+ +[\d,.]+ +[\d,.]+ +unicast`)
	unicastP50      = of(`^ +([\d,.]+) +[\d,.]+ +[\d,.]+ +[\d,.]+ +[\d,.]+ +[\d,.]+ +unicast`)
	fanoutP99       = of(`^ +[\d,.]+ +[\d,.]+ +([\d,.]+) +[\d,.]+ +[\d,.]+ +[\d,.]+ +fanout\b`)
	serverCores     = of(`^cores +server ([\d.]+)`)
	gcStop          = of(`^c10m_gc_stop_max_seconds ([\d.e+-]+)`)
	goroutines      = of(`^go_goroutines ([\d.e+-]+)`)
	heapObjects     = of(`^go_memstats_heap_objects ([\d.e+-]+)`)
)

// figures are in the order of the tables.
var figures = []figure{
	{run: "million", what: "resident memory at 1,000,000 on one channel", target: "95.4 MiB (100 MB)", lower: true, value: residentMiB, match: 1, unit: "MiB"},
	{run: "million", what: "the same with a channel each", target: "209.8 MiB (220 MB)", lower: true, value: residentMiB, match: 2, unit: "MiB"},
	{run: "million", what: "connects a second to 1,000,000", value: opened, match: 1},
	{run: "million", what: "deliveries a second, a message to all", value: deliveries, match: 1},
	{run: "million", what: "lost of three messages to all", target: "0", lower: true, value: lost, match: 1},
	{run: "million", what: "a message to one of a million channels, p99", lower: true, value: unicastP99, unit: "ms"},
	{run: "million", what: "longest stop by the collector", target: "1 ms", lower: true, value: gcStop, match: 1, scale: 1000, unit: "ms"},
	{run: "million", what: "goroutines", target: "do not grow", lower: true, value: goroutines, match: 1},
	{run: "million", what: "heap objects", target: "do not grow", lower: true, value: heapObjects, match: 1},
	{run: "most", what: "resident memory at 2,500,000", lower: true, value: residentMiB, unit: "MiB"},
	{run: "most", what: "connects a second to 2,500,000", value: opened},
	{run: "most", what: "deliveries a second, a message to all", value: deliveries},
	{run: "most", what: "lost of three messages to all", target: "0", lower: true, value: lost},
	{run: "most", what: "longest stop by the collector", lower: true, value: gcStop, scale: 1000, unit: "ms"},
	{run: "connects-1000000", what: "whole host per pair, of the bare program's, 1,000,000", target: "1.02", lower: true, value: bareMemory},
	{run: "connects-1000000", what: "connects, of the bare program's, 1,000,000", target: "0.8", value: bareRate},
	{run: "connects-1000000", what: "connects, of the program's that answers", value: exchangeRate},
	{run: "connects-18000", what: "connects, of the bare program's, 18,000", target: "0.8", value: bareRate},
	{run: "connects-18000", what: "connects, of the program's that answers", value: exchangeRate},
	{run: "connects-18000", what: "connects a second", value: connectRate},
	{run: "storm-200000", what: "until all of 200,000 are back, of the bare program's time", target: "2.0", lower: true, value: bareTime},
	{run: "sends-18000", what: "deliveries, of the floor's, 18,000", target: "1.0", value: ratioToFloor},
	{run: "sends-18000", what: "the same for each second of processor time", value: serverPerCore, by: floorPerCore},
	{run: "sends-18000", what: "deliveries a second", value: serverRate},
	{run: "sends-18000-8", what: "deliveries, of the floor's that does not batch, 8 under way", target: "10", value: ratioToFloor},
	{run: "sends-18000-8", what: "the same for each second of processor time", value: serverPerCore, by: floorPerCore},
	{run: "sends-18000-8", what: "deliveries, of the floor's that batches, 8 under way", value: ratioToBatching},
	{run: "sends-18000-8", what: "the same for each second of processor time", value: serverPerCore, by: batchingPerCore},
	{run: "sends-18000-8", what: "deliveries a second", target: "1,300,000", value: serverRate},
	{run: "sends-200000", what: "deliveries, of the floor's, 200,000", target: "1.0", value: ratioToFloor},
	{run: "sends-200000", what: "the same for each second of processor time", value: serverPerCore, by: floorPerCore},
	{run: "mixed-200000", what: "a message to one during sweeps over 200,000, p99", target: "3 ms", lower: true, value: unicastP99, unit: "ms"},
	{run: "mixed-200000", what: "the same, p50", lower: true, value: unicastP50, unit: "ms"},
	{run: "idle-5m", what: "idle at 1,000,000, pings every 5 minutes", target: "5 % of a core", lower: true, value: serverCores, scale: 100, unit: "% of a core"},
	{run: "idle-45s", what: "idle at 1,000,000, pings every 45 seconds", lower: true, value: serverCores, scale: 100, unit: "% of a core"},
	{run: "pings-1000000", what: "a ping and its pong, of a bare program's", lower: true, value: serverPing, by: pingerPing},
	{run: "fanout-10000", what: "a message a second to 10,000, p99", target: "500 ms in the mean", lower: true, value: fanoutP99, unit: "ms"},
	{run: "posts", what: "posts a second, 256 connections", target: "50,000", value: of(posts(256, 1))},
	{run: "posts", what: "posts a second, 64 connections", target: "50,000", value: of(posts(64, 1))},
	{run: "posts", what: "posts a second, 16 connections, 16 pipelined on each", value: of(posts(16, 16))},
	{run: "events", what: "events, of WebSocket's deliveries", target: "0.95", value: of(`in-flight=1-\d+.*\s([\d.]+) events/websocket`)},
	{run: "events", what: "the same, 8 under way", target: "0.95", value: of(`in-flight=8-\d+.*\s([\d.]+) events/websocket`)},
	{run: "signals", what: "from one client's PUB to the other's MSG, p50", target: "200 us", lower: true, value: of(`([\d.]+) p50-us`), unit: "us"},
	{run: "signals", what: "the same, p99", lower: true, value: of(`([\d.]+) p99-us`), unit: "us"},
	{run: "five-million-*", what: "resident memory, 5,000,000 and more with the client's ends in user space", lower: true, value: residentMiB, unit: "MiB"},
	{run: "five-million-*", what: "whole host per connection", target: "4,200 B", lower: true, value: hostPerPair, unit: "B"},
	{run: "five-million-*", what: "connects a second", target: "30,000", value: opened},
	{run: "five-million-*", what: "longest stop by the collector", lower: true, value: gcStop, scale: 1000, unit: "ms"},
	{run: "five-million-mixed-5000000", what: "a message to one meanwhile, p99", target: "10 ms", lower: true, value: unicastP99, unit: "ms"},
	{run: "five-million-*", what: "lost", target: "0", lower: true, value: lost},
}
