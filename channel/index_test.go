package channel

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"c10m/internal/slab"
)

func indexOf(t *testing.T) (*cells, *index) {
	t.Helper()
	store, x := &cells{}, &index{}
	store.init()
	x.init(store)
	return store, x
}

// The index against a map, up to 200,000 names and down again, breathing.
func TestIndexAgainstAMap(t *testing.T) {
	store, x := indexOf(t)
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]ref{}
	var names []string
	add := func() {
		name := fmt.Sprintf("channel/%d", random.Uint32())
		if _, there := want[name]; there {
			return
		}
		r, _ := store.make([]byte(name), hashName([]byte(name)))
		x.insert(r)
		want[name] = r
		names = append(names, name)
	}
	remove := func() {
		i := random.IntN(len(names))
		name := names[i]
		names[i] = names[len(names)-1]
		names = names[:len(names)-1]
		x.remove(want[name])
		store.release(want[name])
		delete(want, name)
	}
	// Growing keeps the load at 1; from a quarter of that on, each removal
	// takes a bucket.
	const most = 200_000
	agree := func() {
		t.Helper()
		if int(x.count) != len(want) {
			t.Fatalf("%d in the index, %d in the map", x.count, len(want))
		}
		for name, r := range want {
			if got := x.find([]byte(name), hashName([]byte(name))); got != r {
				t.Fatalf("%q: %v, want %v", name, got, r)
			}
		}
		if got := x.find([]byte("nobody"), hashName([]byte("nobody"))); got != 0 {
			t.Fatalf("found what is not there: %v", got)
		}
		if buckets := x.low + x.split; x.count > buckets || buckets > most || x.split >= x.low {
			t.Fatalf("%d names in %d buckets, split at %d of %d", x.count, buckets, x.split, x.low)
		}
	}
	for _, size := range []int{500, 3000, most, 90_000, 120_000, 2000, 0, 5000, 0} {
		for len(names) < size {
			add()
		}
		for len(names) > size {
			remove()
		}
		agree()
	}
	if buckets := x.low + x.split; buckets > most-most/4-5000+10 {
		t.Errorf("an empty index has %d buckets", buckets)
	}
}

// A step changes at most one bucket, so that no subscriber waits for a rehash.
func TestIndexGrowsByOneBucket(t *testing.T) {
	store, x := indexOf(t)
	var refs []ref
	for i := range 20_000 {
		name := []byte(fmt.Sprint(i))
		r, _ := store.make(name, hashName(name))
		refs = append(refs, r)
		before := x.low + x.split
		x.insert(r)
		if after := x.low + x.split; after-before > 1 {
			t.Fatalf("an insert made %d buckets", after-before)
		}
	}
	for _, r := range refs {
		before := x.low + x.split
		x.remove(r)
		if after := x.low + x.split; before-after > 1 {
			t.Fatalf("a removal took %d buckets", before-after)
		}
	}
}

func TestIndexWithEqualHashes(t *testing.T) {
	store, x := indexOf(t)
	var refs []ref
	for i := range 3000 {
		// Three hashes only; so many that the index grows several times.
		r, _ := store.make([]byte(fmt.Sprint(i)), uint32(i%3)*0x5bd1e995)
		x.insert(r)
		refs = append(refs, r)
	}
	for i, r := range refs {
		if i%2 == 0 {
			x.remove(r)
			store.release(r)
		}
	}
	for i, r := range refs {
		want := r
		if i%2 == 0 {
			want = 0
		}
		if got := x.find([]byte(fmt.Sprint(i)), uint32(i%3)*0x5bd1e995); got != want {
			t.Fatalf("name %d: %v, want %v", i, got, want)
		}
	}
}

func TestIndexPanicsOnAStranger(t *testing.T) {
	store, x := indexOf(t)
	r, _ := store.make([]byte("a"), 1)
	defer func() {
		if fault := recover(); fault == nil || !strings.HasPrefix(fmt.Sprint(fault), "BUG:") {
			t.Errorf("recovered %v", fault)
		}
	}()
	x.remove(r)
}

// Cells of every length, made, released and made again: no two overlap, no ref
// is 0, and what was released is used again before anything new.
func TestCells(t *testing.T) {
	var store cells
	store.init()
	name := func(n int, round int) []byte {
		return []byte(strings.Repeat(string(rune('a'+round)), n))
	}
	mark := uint32(0)
	for round := range 3 {
		type made struct {
			r    ref
			n    int
			hash uint32
		}
		var all []made
		for n := 1; n <= NameBytesMax; n++ {
			for range 40 {
				mark++
				r, c := store.make(name(n, round), mark)
				if r == 0 {
					t.Fatal("a ref is 0")
				}
				if c.members != 0 || c.log != 0 || c.first != 0 || c.next != 0 || c.head != 0 {
					t.Fatalf("a new cell is %+v", c)
				}
				*c = cell{next: ref(mark), hash: mark, first: mark, members: mark, head: mark, log: mark, nameLen: c.nameLen}
				copy(c.name(), name(n, round)) // the struct's padding lies over the name
				all = append(all, made{r, n, mark})
			}
		}
		for _, m := range all {
			c := store.at(m.r)
			if string(c.name()) != string(name(m.n, round)) {
				t.Fatalf("round %d, %d bytes: the name is %q", round, m.n, c.name())
			}
			if c.hash != m.hash || c.log != m.hash || c.next != ref(m.hash) {
				t.Fatalf("round %d, %d bytes: %+v, want %d everywhere", round, m.n, c, m.hash)
			}
			store.release(m.r)
		}
	}
	slots := uint32(0)
	for class := range cellSizes {
		slots += store.classes[class].Used()
	}
	if slots != NameBytesMax*40 {
		t.Errorf("%d slots were used for %d cells at a time", slots, NameBytesMax*40)
	}
}

func TestCellSizes(t *testing.T) {
	previous := uint32(0)
	for _, size := range cellSizes {
		if size%8 != 0 || size <= previous || size > slab.ChunkBytes {
			t.Errorf("cells of %d bytes", size)
		}
		previous = size
	}
	if previous != cellHeadBytes+NameBytesMax {
		t.Errorf("the largest cell has %d bytes, the longest name needs %d", previous, cellHeadBytes+NameBytesMax)
	}
}

func TestLogRing(t *testing.T) {
	for _, tail := range []uint32{0, 5, ^uint32(0) - 6} {
		c := &cell{members: 1000, head: tail}
		g := &log{cell: c, tail: tail, sweptTo: tail}
		m := &member{seq: tail}
		frames := func(i int) *Message { return &Message{frame: []byte(fmt.Sprint("frame ", i))} }
		dropped, bytes := 0, 0
		// Three in, one out: the ring grows with its start at every place.
		for i := range 100 {
			message := frames(i)
			bytes += len(message.frame)
			g.append(message, c.members-g.behind)
			if i == 0 {
				// One member keeps the first entry; the others go on.
				for range c.members - 1 {
					g.move(&member{seq: tail}, g.head())
				}
			}
			g.check()
			if i%3 == 2 {
				for others := g.entry(g.tail).waiting - 1; others > 0; others-- {
					g.move(&member{seq: g.tail}, g.tail+1)
				}
				m.seq = g.tail
				g.move(m, g.tail+1)
				if got := string(g.dropTail().frame); got != fmt.Sprint("frame ", dropped) {
					t.Fatalf("dropped %q as number %d", got, dropped)
				}
				bytes -= len(fmt.Sprint("frame ", dropped))
				dropped++
				g.check()
			}
		}
		if g.bytes != bytes || c.head != tail+100 || len(g.ring) != 128 {
			t.Errorf("from %d: %d bytes, want %d; head %d; ring of %d", tail, g.bytes, bytes, c.head, len(g.ring))
		}
		for i := range g.count {
			if got := string(g.entry(g.tail + i).message.frame); got != fmt.Sprint("frame ", dropped+int(i)) {
				t.Errorf("entry %d is %q", i, got)
			}
		}
	}
}
