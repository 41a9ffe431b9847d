package redisbus

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"c10m/internal/glob"
)

// BenchmarkPublish publishes over loopback, with as many under way as the name
// says and 64 bytes of payload. The Door is a fake one that allocates a receipt.
//
//	go test -run '^$' -bench Publish -benchmem ./redisbus
func BenchmarkPublish(b *testing.B) {
	for _, subscribers := range []int{0, 1} {
		for _, depth := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("pipeline=%d/subscribers=%d", depth, subscribers), func(b *testing.B) {
				door := newDoor(nil)
				door.Discard = true
				bus := startEmbedded(b, door, "")
				for range subscribers {
					r := dialRaw(b, bus.Addr().String())
					r.do("SUBSCRIBE", "news")
					go io.Copy(io.Discard, r)
				}
				benchmarkPublish(b, bus.Addr().String(), depth, subscribers)
			})
		}
	}
}

func benchmarkPublish(b *testing.B, addr string, depth, subscribers int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	batch := []byte(strings.Repeat(cmd("PUBLISH", "news", strings.Repeat("x", 64)), depth))
	reply := fmt.Sprintf(":%d\r\n", subscribers)
	answer := make([]byte, depth*len(reply))
	in := bufio.NewReaderSize(conn, 64<<10)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += depth {
		if _, err := conn.Write(batch); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(in, answer); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	if string(answer) != strings.Repeat(reply, depth) {
		b.Fatalf("answers %.40q", answer)
	}
}

func BenchmarkGlob(b *testing.B) {
	b.ReportAllocs()
	pattern, name := strings.Repeat("a*", 511)+"b", []byte(strings.Repeat("a", 255))
	for b.Loop() {
		glob.Match(pattern, name)
	}
}
