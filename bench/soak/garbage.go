package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A garbageKind is a connection as no client makes one. The server ends it, and
// says so with a reason of its own.
type garbageKind struct {
	name string
	// upgraded says that a good request stands before bytes.
	upgraded bool
	bytes    string
	// reason is with which the server counts the end, once it has been waited
	// for; "" is for those whose client ends, where it depends on who is faster.
	reason string
	// shared says that others end with that reason, too.
	shared bool
	// resets says that the client ends it with a reset.
	resets bool
}

// The mask of all frames here is 0, so that payloads can be read.
var garbageKinds = []garbageKind{
	{name: "half a request", bytes: "GET /soak-garbage HTTP/1.1\r\nHost: so"},
	{name: "half a request, held", bytes: "GET /soak-garbage HTTP/1.1\r\nHost: so", reason: "request_timeout"},
	{name: "a TLS hello", bytes: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", reason: "request_malformed"},
	{name: "another protocol", bytes: "\x00\x01\x02\x03PING\r\n\r\n", reason: "request_malformed"},
	{name: "PUT", bytes: "PUT /soak-garbage HTTP/1.1\r\nHost: soak\r\nContent-Length: 0\r\n\r\n", reason: "request_method"},
	{name: "a POST of two lengths", bytes: "POST /soak-garbage HTTP/1.1\r\nHost: soak\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", reason: "request_malformed"},
	{name: "no upgrade", bytes: "GET /soak-garbage HTTP/1.1\r\nHost: soak\r\n\r\n", reason: "request_no_upgrade"},
	{name: "no channel", bytes: string(upgradeRequest("")), reason: "request_channel"},
	{name: "a reserved path", bytes: string(upgradeRequest("-/soak")), reason: "request_reserved"},
	{name: "an unmasked frame", upgraded: true, bytes: "\x89\x00", reason: "protocol_error"},
	{name: "a reserved bit", upgraded: true, bytes: "\xc9\x80\x00\x00\x00\x00", reason: "protocol_error"},
	{name: "a fragmented ping", upgraded: true, bytes: "\x09\x80\x00\x00\x00\x00", reason: "protocol_error"},
	{name: "a text that is not UTF-8", upgraded: true, bytes: "\x81\x82\x00\x00\x00\x00\xc3\x28", reason: "invalid_utf8"},
	{name: "a frame of 2^40 bytes", upgraded: true, bytes: "\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", reason: "message_too_big"},
	{name: "half a frame, then a reset", upgraded: true, bytes: "\x89\x84\x00\x00\x00\x00ab", resets: true},
	{name: "half a header, then the end", upgraded: true, bytes: "\x89"},
	{name: "a goodbye without an end", upgraded: true, bytes: "\x88\x82\x00\x00\x00\x00\x03\xe8", reason: "client_closed", shared: true},
}

// A garbageCount is what came of a kind.
type garbageCount struct {
	Sent     uint64
	Answered uint64 // the server was seen to end it
	Failed   uint64 // no connection, or no answer to a good request before it
}

// garbage keeps sending it.
type garbage struct {
	// Fixed after construction.
	address string

	// Shared: atomic. By the index of garbageKinds.
	sent, answered, failed []atomic.Uint64
}

func newGarbage(address string) *garbage {
	n := len(garbageKinds)
	return &garbage{address: address, sent: make([]atomic.Uint64, n), answered: make([]atomic.Uint64, n), failed: make([]atomic.Uint64, n)}
}

// run has workers that send one after the other, at random, until ctx ends. What
// is under way then is waited for, unless whole ends, too.
func (g *garbage) run(ctx, whole context.Context, workers int, seed uint64, rest time.Duration) {
	var group sync.WaitGroup
	for i := range workers {
		random := rand.New(rand.NewPCG(seed, 2000+uint64(i)))
		group.Go(func() {
			for ctx.Err() == nil {
				g.send(whole, random.IntN(len(garbageKinds)))
				sleep(ctx, between(random, 0, 2*rest))
			}
		})
	}
	group.Wait()
}

// send makes one connection and sees it end, unless ctx does.
func (g *garbage) send(ctx context.Context, index int) {
	kind := &garbageKinds[index]
	dialer := net.Dialer{LocalAddr: &aside, Timeout: hangGuard}
	conn, err := dialer.DialContext(ctx, "tcp", g.address)
	if err != nil {
		g.failed[index].Add(1)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(garbageTimeout))
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if kind.upgraded {
		if err := upgrade(conn); err != nil {
			g.failed[index].Add(1)
			return
		}
	}
	g.sent[index].Add(1)
	if _, err := io.WriteString(conn, kind.bytes); err != nil {
		return
	}
	if kind.resets {
		conn.(*net.TCPConn).SetLinger(0)
	}
	if kind.reason == "" {
		return // by the deferred Close
	}
	// The end of the stream is the server's answer; a reset is none.
	if _, err := io.Copy(io.Discard, conn); err == nil {
		g.answered[index].Add(1)
	}
}

// upgrade sends a good request and reads to the end of its answer, byte by byte
// so that nothing is read beyond it.
func upgrade(conn net.Conn) error {
	if _, err := conn.Write(upgradeRequest("soak-garbage")); err != nil {
		return err
	}
	one, end := []byte{0}, 0
	for end < 4 {
		if _, err := conn.Read(one); err != nil {
			return err
		}
		if one[0] == "\r\n\r\n"[end] {
			end++
		} else {
			end = 0
		}
	}
	return nil
}

// counts are by the kind's name.
func (g *garbage) counts() map[string]garbageCount {
	counts := make(map[string]garbageCount, len(garbageKinds))
	for i, kind := range garbageKinds {
		counts[kind.name] = garbageCount{g.sent[i].Load(), g.answered[i].Load(), g.failed[i].Load()}
	}
	return counts
}
