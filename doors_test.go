package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"c10m/bus"
	"c10m/channel"
	"c10m/conn"
	"c10m/internal/patience"
	"c10m/internal/servertest"
	"c10m/poller"
	"c10m/poller/epoll"
	"c10m/redisbus"

	"github.com/alecthomas/kong"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"go.uber.org/zap"
)

// doors is a server in this process, whose loops the test can stop.
type doors struct {
	servertest.Server
	loops    []*poller.Loop
	handlers handlers
	hub      *channel.Hub
	embedded *redisbus.Embedded
}

// pipelined is how much is said before anything is waited for.
const pipelined = 16

const (
	doorsLoops    = 4
	doorsChannels = 6
	doorsMembers  = 4 * doorsLoops // of each channel
)

// openDoors wires the rooms as serve does, with an embedded bus.
func openDoors(t *testing.T) *doors {
	d := &doors{Server: servertest.Server{Port: servertest.FreePort(t)}}
	f := flags{}
	parser := kong.Must(&f, kong.Exit(func(int) { t.Fatal("bad flags") }))
	if _, err := parser.Parse([]string{"serve", "--listen", fmt.Sprintf("127.0.0.1:%d", d.Port), "--bus-listen", "127.0.0.1:0",
		"--loops", strconv.Itoa(doorsLoops), "--fd-tables", "shared", "--publish", "own", "--log-bytes", "256MiB"}); err != nil {
		t.Fatal(err)
	}
	plan, err := newPlan(&f.Serve, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	d.handlers.shared = conn.NewShared(plan.conn)
	loops := poller.New(poller.Config{Loops: plan.sockets.Loops, TakeTurns: len(plan.sockets.CPUs) == 0, NewHandler: d.handlers.add})
	t.Cleanup(loops.Stop)
	if _, err := epoll.Start(loops, plan.sockets); err != nil {
		t.Fatal(err)
	}
	d.loops = loops.Loops()
	d.hub = channel.NewHub(d.handlers.doors, f.Serve.hub(plan))
	driver, err := openBus(&f.Serve, d.hub, nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	d.embedded = driver.(*redisbus.Embedded)
	d.Bus = d.embedded.Addr().(*net.TCPAddr).Port
	repeats := bus.NewRepeats(driver, d.hub, 1000)
	plan.uplink.Start(repeats, d.hub)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience.Guard)
		defer cancel()
		if err := plan.uplink.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := driver.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	plan.takeShortcuts(driver, repeats, d.loops, d.hub.Shortcuts(d.handlers.homes))
	return d
}

// hold stops a loop between two of its turns until the result is called.
func (d *doors) hold(loop int) (release func()) {
	stopped, gate := make(chan struct{}), make(chan struct{})
	d.loops[loop].Run(func(*poller.Loop) { close(stopped); <-gate })
	<-stopped
	return func() { close(gate) }
}

// A doorway publishes one text to one channel and returns when it was taken, with the
// number of connections that it was told, -1 if it is told none.
type doorway func(name, text string) (connections int, err error)

// ways are how a message comes in, each on a connection of its own.
var ways = map[string]func(d *doors, t *testing.T) doorway{
	"PUBLISH": func(d *doors, t *testing.T) doorway {
		c := d.dialBus(t)
		replies := bufio.NewReader(c)
		return func(name, text string) (int, error) {
			fmt.Fprintf(c, "*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(name), name, len(text), text)
			return readInteger(replies)
		}
	},
	// It waits for the answers of all when it has said the last.
	"PUBLISH in a pipeline": func(d *doors, t *testing.T) doorway {
		c := d.dialBus(t)
		replies, said := bufio.NewReader(c), 0
		return func(name, text string) (connections int, err error) {
			fmt.Fprintf(c, "PUBLISH %s \"%s\"\r\n", name, text)
			if said++; said < pipelined {
				return -1, nil
			}
			for ; said > 0 && err == nil; said-- {
				if connections, err = readInteger(replies); connections != doorsMembers {
					return connections, err
				}
			}
			return connections, err
		}
	},
	"POST": func(d *doors, t *testing.T) doorway {
		client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
		return func(name, text string) (connections int, err error) {
			answer, err := client.Post(fmt.Sprintf("http://127.0.0.1:%d/%s", d.Port, name), "text/plain", strings.NewReader(text))
			if err != nil {
				return 0, err
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != 200 {
				return 0, fmt.Errorf("%s: %s %v", answer.Status, body, err)
			}
			_, err = fmt.Sscanf(string(body), `{"channel":"`+name+`","connections":%d`, &connections)
			return connections, err
		}
	},
	"PUB":            func(d *doors, t *testing.T) doorway { return d.pub(t, pipelined) },
	"PUB with a key": func(d *doors, t *testing.T) doorway { return d.pub(t, 1) },
	"a goroutine": func(d *doors, t *testing.T) doorway {
		return func(name, text string) (int, error) {
			p := &bus.Publication{Channel: []byte(name), Payload: []byte(text)}
			d.embedded.PublishBatch(t.Context(), []*bus.Publication{p})
			n, _ := p.Connections()
			return n, p.Err
		}
	},
}

func (d *doors) dialBus(t *testing.T) net.Conn {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", d.Bus))
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(patience.Deadline())
	t.Cleanup(func() { c.Close() })
	return c
}

func readInteger(from *bufio.Reader) (n int, err error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(line, ":"), "\r\n"))
}

// pub says PUB, and waits for the answer of each that has a key: every one, or the last of
// so many.
func (d *doors) pub(t *testing.T, every int) doorway {
	c, n := d.Dial(t, "", "c10m.v1"), 0
	return func(name, text string) (int, error) {
		n++
		hasKey := n%every == 0
		head, want := "PUB "+name, ""
		if hasKey {
			head, want = fmt.Sprintf("%s k%p-%d", head, c, n), "OK PUB "+name
		}
		if err := wsutil.WriteClientMessage(c, ws.OpText, []byte(head+"\n"+text)); err != nil || !hasKey {
			return -1, err
		}
		answer, _, err := wsutil.ReadServerData(c)
		if err == nil && !strings.HasPrefix(string(answer), want) {
			err = fmt.Errorf("%q is answered with %q", head, answer)
		}
		return -1, err
	}
}

// heard is what all members of the channels hear, each until a message that says so.
type heard struct {
	all   [doorsChannels][doorsMembers][]string
	ended sync.WaitGroup
}

const lastWord = "the last"

func (d *doors) listen(t *testing.T) *heard {
	h := &heard{}
	for i := range h.all {
		for j := range h.all[i] {
			c := d.Dial(t, fmt.Sprint("c", i))
			h.ended.Go(func() {
				for {
					payload, _, err := wsutil.ReadServerData(c)
					if err != nil {
						t.Errorf("a member of c%d after %d messages: %v", i, len(h.all[i][j]), err)
						return
					}
					if string(payload) == lastWord {
						return
					}
					h.all[i][j] = append(h.all[i][j], string(payload))
				}
			})
		}
	}
	for i, loop := range d.handlers.stats {
		if n := loop.Channel.Members.Load(); n < doorsChannels {
			t.Fatalf("loop %d has %d members", i, n) // the kernel spreads them, so this is no chance
		}
	}
	return h
}

// Publishers on every loop, through every door, to channels whose members are everywhere,
// while mailboxes fill: all members of a channel hear the same in one order, each
// publisher's messages in his, every message once, and each is told how many that are.
func TestOneOrderThroughEveryDoor(t *testing.T) {
	d := openDoors(t)
	h := d.listen(t)
	var published [doorsChannels]atomic.Int64
	var least atomic.Int64 // messages of each publisher
	var stop atomic.Bool
	var publishers sync.WaitGroup
	counts := make([]atomic.Int64, 0, len(ways)*doorsLoops)
	for name, open := range ways {
		for range doorsLoops {
			counts = counts[:len(counts)+1]
			mine, id := &counts[len(counts)-1], len(counts)
			publish := open(d, t)
			publishers.Go(func() {
				random := rand.New(rand.NewPCG(uint64(id), 1))
				for n := 0; n%pipelined != 0 || !stop.Load(); n++ {
					i := random.IntN(doorsChannels)
					connections, err := publish(fmt.Sprint("c", i), fmt.Sprintf("%d %d", id, n))
					if err != nil || connections >= 0 && connections != doorsMembers {
						t.Errorf("%s: %d connections, %v", name, connections, err)
						return
					}
					published[i].Add(1)
					mine.Add(1)
				}
			})
		}
	}
	everybodySaid := func(more int64) {
		t.Helper()
		before := least.Load()
		servertest.Eventually(t, "all publish", func() bool {
			now := counts[0].Load()
			for i := range counts {
				now = min(now, counts[i].Load())
			}
			least.Store(now)
			return now >= before+more || t.Failed()
		})
	}
	everybodySaid(30)
	release, waits := d.hold(0), d.hub.Stats().Waits.Load()
	var flood sync.WaitGroup
	flood.Go(func() { // one who waits for no answer
		for n := 0; d.hub.Stats().Waits.Load() == waits; n++ {
			if _, err := d.hub.Publish([]byte("c0"), fmt.Appendf(nil, "0 %d", n)); err != nil {
				t.Error(err)
				return
			}
			published[0].Add(1)
		}
	})
	servertest.Eventually(t, "its mailbox is full", func() bool { return d.hub.Stats().Waits.Load() > waits || t.Failed() })
	release()
	flood.Wait()
	everybodySaid(10)
	if d.hub.Stats().Shortcuts.Load() == 0 {
		t.Error("nothing was published by a loop itself")
	}
	stop.Store(true)
	publishers.Wait()
	for i := range h.all {
		receipt, err := d.hub.Publish([]byte(fmt.Sprint("c", i)), []byte(lastWord))
		if err != nil || receipt.Wait() != doorsMembers {
			t.Fatalf("%v", err)
		}
	}
	h.ended.Wait()
	h.check(t, &published)
}

// check wants each channel's messages in one order, complete.
func (h *heard) check(t *testing.T, published *[doorsChannels]atomic.Int64) {
	for i := range h.all {
		first := h.all[i][0]
		if len(first) != int(published[i].Load()) {
			t.Errorf("c%d: %d messages were published, %d heard", i, published[i].Load(), len(first))
		}
		latest := map[int]int{}
		for _, text := range first {
			var id, n int
			if _, err := fmt.Sscanf(text, "%d %d", &id, &n); err != nil {
				t.Fatalf("c%d heard %q", i, text)
			}
			if before, has := latest[id]; has && n <= before {
				t.Fatalf("c%d: publisher %d's message %d comes after %d", i, id, n, before)
			}
			latest[id] = n
		}
		for j, other := range h.all[i] {
			for k := range first {
				if k >= len(other) || other[k] != first[k] {
					t.Fatalf("c%d: member %d hears another message than member 0 at %d of %d", i, j, k, len(first))
				}
			}
		}
	}
}
