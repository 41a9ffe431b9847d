package slab

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"
)

type entry struct {
	a    uint64
	b, c uint32
}

// What is taken is zero, one's own and stays what it is until it is given back.
func TestTableTakeGive(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var table Table[entry]
	held := make(map[uint32]uint32)
	most := 0
	for step := range uint32(100_000) {
		if random.IntN(100) < []int{70, 30}[step/20_000%2] {
			n := table.Take()
			if _, isHeld := held[n]; isHeld || n == 0 || *table.At(n) != (entry{}) {
				t.Fatalf("step %d: number %d, %+v, held before: %v", step, n, *table.At(n), isHeld)
			}
			*table.At(n), held[n] = entry{uint64(step), step, step}, step
			most = max(most, len(held))
			continue
		}
		for n, v := range held {
			if *table.At(n) != (entry{uint64(v), v, v}) {
				t.Fatalf("step %d: entry %d is %+v, not %d", step, n, *table.At(n), v)
			}
			table.Give(n)
			delete(held, n)
			break
		}
	}
	if table.Taken() != len(held) {
		t.Errorf("%d are taken, not %d", table.Taken(), len(held))
	}
	if most <= ChunkEntries || table.Len() > most+2*ChunkEntries {
		t.Errorf("%d entries for %d at a time", table.Len(), most)
	}
}

// Entries keep their places while a table grows.
func TestTableGrow(t *testing.T) {
	var table Table[uint32]
	var first *uint32
	for i := range uint32(3*ChunkEntries + 1) {
		if int(i) == table.Len() {
			table.Grow()
		}
		if *table.At(i) != 0 {
			t.Fatalf("entry %d is not zero", i)
		}
		*table.At(i) = i + 1
		if i == 0 {
			first = table.At(0)
		}
	}
	for i := range uint32(3*ChunkEntries + 1) {
		if *table.At(i) != i+1 {
			t.Fatalf("entry %d is %d", i, *table.At(i))
		}
	}
	if table.At(0) != first || table.Len() != 4*ChunkEntries {
		t.Errorf("an entry has moved, or there are %d", table.Len())
	}
}

func TestSlots(t *testing.T) {
	for _, size := range []uint32{4, 40, 280, 4096, ChunkBytes} {
		random := rand.New(rand.NewPCG(1, uint64(size)))
		var s Slots
		s.Init(size)
		if s.Peek(1) != nil {
			t.Fatal("there is a slot before the first")
		}
		at := func(n uint32) []byte { return unsafe.Slice((*byte)(s.At(n)), size) }
		held := make(map[uint32]byte)
		for step := range 4000 {
			if random.IntN(100) < []int{60, 40}[step/1000%2] {
				n := s.Take()
				if _, isHeld := held[n]; isHeld || n == 0 || n > s.Used() || s.Peek(n) != s.At(n) {
					t.Fatalf("size %d, step %d: slot %d of %d, held before: %v", size, step, n, s.Used(), isHeld)
				}
				held[n] = byte(step)
				copy(at(n), bytes.Repeat([]byte{byte(step)}, int(size)))
				continue
			}
			for n, v := range held {
				if p := at(n); bytes.Count(p, []byte{v}) != int(size) {
					t.Fatalf("size %d, step %d: slot %d is not all %d: %.40x", size, step, n, v, p)
				}
				s.Give(n)
				delete(held, n)
				break
			}
		}
		if s.Taken() != len(held) {
			t.Errorf("%d are taken, not %d", s.Taken(), len(held))
		}
		if s.Peek(1<<31) != nil {
			t.Error("there is a slot behind the last")
		}
	}
}

// Entries of a Sparse are apart, begin with zero and stay where they are, whichever thread
// makes them first.
func TestSparse(t *testing.T) {
	const n = 3*ChunkEntries + 5
	s := NewSparse[uint64](n)
	if s.At(7) != nil || s.At(1<<30) != nil || s.Make(1<<30) != nil {
		t.Error("there are entries that nobody has made")
	}
	var threads sync.WaitGroup
	for thread := range uint32(4) { // each owns every fourth
		threads.Go(func() {
			for i := thread; i < n; i += 4 {
				if e := s.Make(i); *e != 0 {
					t.Errorf("entry %d begins with %d", i, *e)
				} else {
					*e = uint64(i) + 1
				}
			}
		})
	}
	threads.Wait()
	for i := range uint32(n) {
		if e := s.At(i); e != s.Make(i) || *e != uint64(i)+1 {
			t.Fatalf("entry %d is %d", i, *e)
		}
	}
	if first, second := s.At(0), s.At(1); uintptr(unsafe.Pointer(second))-uintptr(unsafe.Pointer(first)) != 8 {
		t.Error("an entry takes more than its size")
	}
}
