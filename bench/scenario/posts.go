package scenario

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"c10m/bench/load"
	"c10m/bench/report"
)

// runPosts publishes with POST as fast as the answers come. Its connections are HTTP's:
// no party has them, and nobody listens to what they publish.
func runPosts(ctx context.Context, o *Options) (*report.Result, error) {
	r := &run{options: *o, result: &report.Result{Scenario: o.Name, Command: o.Command, Commit: report.Commit(),
		Started: time.Now(), Host: Host(0, false)}}
	all := make([]poster, o.Load.Spread.Connections)
	defer func() {
		for i := range all {
			if all[i].conn != nil {
				all[i].conn.Close()
			}
		}
	}()
	var connects load.Latencies
	for i := range all {
		begun := load.Nanos()
		if err := all[i].dial(ctx, o, i); err != nil {
			return nil, err
		}
		connects.Observe(load.Nanos() - begun)
	}
	c := &r.result.Connections
	c.Wanted, c.Opened, c.Open, c.Latency = len(all), len(all), len(all), connects.Summary()
	c.Seconds = time.Since(r.result.Started).Seconds()
	c.PerSecond = float64(len(all)) / c.Seconds

	begin := time.Now().Add(postsWarmUp)
	ctx, cancel := context.WithDeadline(ctx, begin.Add(o.Duration))
	defer cancel()
	var running sync.WaitGroup
	for i := range all {
		running.Go(func() { all[i].err = all[i].run(ctx, o.Depth, begin) })
	}
	r.ctx = ctx
	r.pause(time.Until(begin)) // an end before it leaves nothing, as is said below
	r.measuring[0] = readUsage(o.ServerPID)
	<-ctx.Done()
	r.measuring[1] = readUsage(o.ServerPID)
	running.Wait()
	r.result.Seconds = time.Since(r.result.Started).Seconds()
	r.usage(&load.Snapshot{})
	return r.result, r.posts(all, begin)
}

// posts adds up what all connections saw since begin.
func (r *run) posts(all []poster, begin time.Time) error {
	p := &report.Posts{Connections: len(all), Depth: r.options.Depth, PayloadBytes: r.options.Bytes}
	var rounds load.Latencies
	var errs error
	for i := range all {
		p.Published += all[i].published
		p.Refused += all[i].refused
		rounds.Merge(&all[i].rounds)
		if errs == nil {
			errs = all[i].err
		}
	}
	r.result.Posts = p
	p.Round = rounds.Summary()
	p.PerSecond = float64(p.Published) / r.measuring[1].at.Sub(begin).Seconds()
	if errs == nil && p.Published == 0 {
		errs = fmt.Errorf("nothing was published, and %d were refused", p.Refused)
	}
	return errs
}

// A poster is a connection that publishes.
type poster struct {
	conn  net.Conn
	batch []byte // of requests

	// Owned by run, to be read after it.
	published, refused uint64
	rounds             load.Latencies // of a batch each
	err                error
}

func (p *poster) dial(ctx context.Context, o *Options, number int) (err error) {
	_, target := o.Load.Spread.Of(number)
	authorization := ""
	if o.Load.Token != "" {
		authorization = "Authorization: Bearer " + o.Load.Token + "\r\n"
	}
	path := url.URL{Path: "/" + strings.ReplaceAll(o.Load.Channel, "%d", strconv.Itoa(number))}
	one := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		path.EscapedPath(), target, authorization, o.Bytes, bytes.Repeat([]byte{'x'}, o.Bytes))
	p.batch = bytes.Repeat(one, o.Depth)
	p.conn, err = (&net.Dialer{Timeout: o.Load.HandshakeTimeout}).DialContext(ctx, "tcp", target.String())
	return err
}

// run publishes until ctx ends, and counts the rounds that begin after begin.
func (p *poster) run(ctx context.Context, depth int, begin time.Time) error {
	end, _ := ctx.Deadline()
	p.conn.SetDeadline(end.Add(answerMax))
	in := bufio.NewReaderSize(p.conn, 64<<10)
	for ctx.Err() == nil {
		started := time.Now()
		counts := !started.Before(begin)
		if _, err := p.conn.Write(p.batch); err != nil {
			return err
		}
		for range depth {
			status, err := readAnswer(in)
			switch {
			case err != nil:
				return err
			case status != 200 && status != 429:
				return fmt.Errorf("a POST was answered with status %d", status)
			case !counts:
			case status == 200:
				p.published++
			default:
				p.refused++
			}
		}
		if counts {
			p.rounds.Observe(int64(time.Since(started)))
		}
	}
	return nil
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
			_, err = in.Discard(length)
			return status, err
		case bytes.HasPrefix(line, []byte("Content-Length: ")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[16:]))); err != nil {
				return 0, err
			}
		}
	}
}

// preparePosts checks what is for posts alone.
func (o *Options) preparePosts() error {
	switch {
	case o.Load.UserSpace != nil:
		return errors.New("--tun is not for posts: its connections are the kernel's")
	case o.Depth < 1 || o.Depth > depthMax:
		return fmt.Errorf("--depth is %d; it is 1 to %d", o.Depth, depthMax)
	case o.Bytes < 0 || o.Bytes > load.PayloadBytesMax:
		return fmt.Errorf("--size is %d; a server takes at most %d bytes", o.Bytes, load.PayloadBytesMax)
	case o.Duration <= 0:
		return fmt.Errorf("--duration is %v; say for how long to measure", o.Duration)
	}
	return o.Load.Spread.Check()
}
