// Command posts publishes with POST on a server's public port as fast as the answers
// come, and says how many a second that were and what of a processor the server took
// for them.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"c10m/bench/proc"
)

type options struct {
	address, channel           string
	connections, depth, sizeOf int
	seconds                    int
	pid                        int
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.address, "address", "127.0.0.1:10000", "the server's public address")
	flag.StringVar(&o.channel, "channel", "posts", "channels are this and the connection's number")
	flag.IntVar(&o.connections, "connections", 64, "kept-alive connections")
	flag.IntVar(&o.depth, "depth", 1, "requests that each connection has under way (pipelining)")
	flag.IntVar(&o.sizeOf, "bytes", 64, "of a message")
	flag.IntVar(&o.seconds, "seconds", 5, "after a second to warm up")
	flag.IntVar(&o.pid, "pid", 0, "the server's process, for its processor time")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal("posts: ", err)
	}
}

// A result is what one connection saw.
type result struct {
	posts, refused int
	rounds         []time.Duration // of depth posts each
	err            error
}

func run(o options) error {
	begin := time.Now().Add(time.Second)
	end := begin.Add(time.Duration(o.seconds) * time.Second)
	results := make([]result, o.connections)
	var all sync.WaitGroup
	for i := range results {
		c, err := net.Dial("tcp", o.address)
		if err != nil {
			return err
		}
		defer c.Close()
		all.Go(func() { results[i] = post(c, o, i, begin, end) })
	}
	time.Sleep(time.Until(begin))
	before := processorTime(o.pid)
	time.Sleep(time.Until(end))
	used := processorTime(o.pid) - before
	all.Wait()
	return report(o, results, used)
}

// post publishes on one connection, and counts what was answered between begin and
// end.
func post(c net.Conn, o options, number int, begin, end time.Time) (r result) {
	one := fmt.Appendf(nil, "POST /%s-%d HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s",
		o.channel, number, o.address, o.sizeOf, bytes.Repeat([]byte{'x'}, o.sizeOf))
	batch := bytes.Repeat(one, o.depth)
	in := bufio.NewReaderSize(c, 64<<10)
	for {
		started := time.Now()
		if started.After(end) {
			return r
		}
		if _, r.err = c.Write(batch); r.err != nil {
			return r
		}
		for range o.depth {
			status, err := readAnswer(in)
			if err != nil {
				r.err = err
				return r
			}
			if started.Before(begin) {
				continue
			}
			switch status {
			case 200:
				r.posts++
			case 429:
				r.refused++
			default:
				r.err = fmt.Errorf("status %d", status)
				return r
			}
		}
		if !started.Before(begin) {
			r.rounds = append(r.rounds, time.Since(started))
		}
	}
}

// readAnswer reads one answer and returns its status.
func readAnswer(in *bufio.Reader) (status int, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return 0, err
		case first:
			if len(line) < 12 {
				return 0, fmt.Errorf("no answer: %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, err
			}
		case len(line) == 2:
			_, err = io.CopyN(io.Discard, in, int64(length))
			return status, err
		case bytes.HasPrefix(line, []byte("Content-Length: ")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[16:]))); err != nil {
				return 0, err
			}
		}
	}
}

// processorTime is what a process has used so far, 0 if none was named.
func processorTime(pid int) (seconds float64) {
	if pid == 0 {
		return 0
	}
	seconds, err := proc.CPU(pid)
	if err != nil {
		log.Fatal("posts: ", err)
	}
	return seconds
}

func report(o options, results []result, used float64) error {
	posts, refused := 0, 0
	var rounds []time.Duration
	for _, r := range results {
		if r.err != nil {
			return r.err
		}
		posts += r.posts
		refused += r.refused
		rounds = append(rounds, r.rounds...)
	}
	if posts == 0 {
		return fmt.Errorf("nothing was published, and %d were refused", refused)
	}
	slices.Sort(rounds)
	rate := float64(posts) / float64(o.seconds)
	fmt.Printf("%d connections, %d under way on each, %d bytes: %.0f posts a second, %d refused (429)\n",
		o.connections, o.depth, o.sizeOf, rate, refused)
	fmt.Printf("a round of %d: p50 %v, p99 %v\n", o.depth, rounds[len(rounds)/2], rounds[len(rounds)*99/100])
	if used > 0 {
		cores := used / float64(o.seconds)
		fmt.Printf("the server took %.2f of a processor: %.1f us a post, %.0f posts a second for a whole one\n",
			cores, used*1e6/float64(posts), rate/cores)
	}
	return nil
}
