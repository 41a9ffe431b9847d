package channel

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"c10m/poller"
)

// A churn on a registry of 10 channels costs what one of 1,000,000 costs, but
// for the cache lines that are cold in the larger.
func BenchmarkSubscribe(b *testing.B) {
	for _, channels := range []int{10, 1_000_000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			h := idleChannels(b, channels+1)
			fd := uint32(channels + 1)
			h.registry.Unsubscribe(fd)
			name := make([]byte, 12)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				// Half to a channel that is there, half to a new one.
				number := (i*7919)%channels + 1 + channels*2*(i&1)
				if err := h.registry.Subscribe(fd, twelve(name, number)); err != nil {
					b.Fatal(err)
				}
				h.registry.Unsubscribe(fd)
			}
		})
	}
}

func benchSweep(b *testing.B, members, messages int) {
	h := newHost(b, roomy, members)
	h.subscribe("c", span(1, uint32(members))...)
	for fd := range h.peers {
		h.peers[fd].discard = true
	}
	frame := make([]byte, 258)
	name, hash := []byte("c"), hashName([]byte("c"))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		for range messages {
			h.registry.Letter(&Message{name: name, hash: hash, frame: frame, at: h.now})
		}
		for h.registry.Work() {
		}
		for fd := range h.peers {
			h.peers[fd].room = plenty
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(members*messages), "ns/delivery")
	if h.stats.Deliveries.Load() != uint64(b.N*members*messages) {
		b.Fatal("not everybody got everything")
	}
}

// The fake socket is in the figure.
func BenchmarkSweep(b *testing.B) {
	for _, members := range []int{1000, 1_000_000} {
		for _, messages := range []int{1, 8} {
			b.Run(fmt.Sprintf("members=%d/messages=%d", members, messages), func(b *testing.B) {
				benchSweep(b, members, messages)
			})
		}
	}
}

// A message to a channel of one, as the loop handles it, on a registry of many.
func BenchmarkUnicast(b *testing.B) {
	for _, channels := range []int{10, 1_000_000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			h := idleChannels(b, channels)
			for fd := range h.peers {
				h.peers[fd].discard = true
			}
			name := make([]byte, 12)
			message := &Message{frame: make([]byte, 258), at: h.now}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				message.name = twelve(name, (i*7919)%channels+1)
				message.hash = hashName(message.name)
				h.registry.Letter(message)
				h.registry.Work()
			}
			if h.stats.Deliveries.Load() != uint64(b.N) {
				b.Fatal("messages are missing")
			}
		})
	}
}

// An instantLoop settles a message where it is posted: what is left is what
// the hub costs a publisher.
type instantLoop struct{ letters atomic.Int64 }

func (l *instantLoop) Post(letter *poller.Letter) bool {
	l.letters.Add(1)
	letter.Body.(*Message).receipt.Settle(1)
	return true
}

func (l *instantLoop) Wants(uint32) bool { return true }

// What keeping a message costs its publisher, with one loop.
func BenchmarkPublishKept(b *testing.B) {
	hub := NewHub([]Poster{&instantLoop{}}, HubConfig{
		Frame: func(p []byte) []byte { return append([]byte("f"), p...) }, PayloadBytesMax: 1 << 20,
		Now: func() int64 { return 0 }, History: NewHistory(HistoryConfig{Messages: 100, BytesTotal: 64 << 20}),
	})
	payload := make([]byte, 256)
	names := make([][]byte, 1000)
	for i := range names {
		names[i] = fmt.Appendf(nil, "channel/%d", i)
	}
	b.ReportAllocs()
	for i := range b.N {
		hub.Publish(names[i%len(names)], payload)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, loops := range []int{1, 2, 64} {
		b.Run(fmt.Sprintf("loops=%d", loops), func(b *testing.B) {
			posters := make([]Poster, loops)
			for i := range posters {
				posters[i] = &instantLoop{}
			}
			frame := func(payload []byte) []byte { return append([]byte{0x81, byte(len(payload))}, payload...) }
			hub := NewHub(posters, HubConfig{Frame: frame, PayloadBytesMax: 1 << 20, Now: func() int64 { return 0 }})
			name, payload := []byte("news"), make([]byte, 100)
			b.ReportAllocs()
			for b.Loop() {
				receipt, err := hub.Publish(name, payload)
				if err != nil || receipt.Wait() != loops {
					b.Fatal(err)
				}
			}
		})
	}
}

// A wakingLoop makes a system call for each letter, as a post does that wakes a loop.
type wakingLoop struct {
	instantLoop
	to *os.File
}

func (l *wakingLoop) Post(letter *poller.Letter) bool {
	l.to.Write([]byte{0})
	return l.instantLoop.Post(letter)
}

// Publishers to different channels at once, four for each processor: what they cost each
// other. docs/internals/channel.md has figures of one lock, of 64, and of one per channel.
//
//	go test -run '^$' -bench PublishInParallel -benchmem -cpu 1,2,4 ./channel
func BenchmarkPublishInParallel(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	for name, loops := range map[string][]Poster{
		"loops=awake":  {&instantLoop{}, &instantLoop{}},
		"loops=asleep": {&wakingLoop{to: null}, &wakingLoop{to: null}},
	} {
		b.Run(name, func(b *testing.B) {
			hub := NewHub(loops, HubConfig{
				Frame: func(p []byte) []byte { return append([]byte{0x81, byte(len(p))}, p...) }, PayloadBytesMax: 1 << 20,
				Now: func() int64 { return 0 },
			})
			var publishers atomic.Int64
			payload := make([]byte, 100)
			b.ReportAllocs()
			b.SetParallelism(4)
			b.RunParallel(func(more *testing.PB) {
				name := fmt.Appendf(nil, "channel/%d", publishers.Add(1))
				for more.Next() {
					if receipt, err := hub.Publish(name, payload); err != nil || receipt.Wait() != 2 {
						b.Error(err)
					}
				}
			})
		})
	}
}
