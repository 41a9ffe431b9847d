package usertcp

import (
	"fmt"
	"math/rand/v2"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Wire is a queue of a device, or what stands before one. One goroutine uses
// it.
type Wire interface {
	// FD is to be polled for reading.
	FD() int
	// Read returns the next packet, without the device's header; it is good until
	// the next Read. EAGAIN says that there is none.
	Read() ([]byte, syscall.Errno)
	// Write hands over a packet with its PacketHeader.
	Write(packet []byte) syscall.Errno
}

// Roughness is what happens to packets on the way, both ways: shares of them,
// from 0 to 1.
type Roughness struct {
	Lose    float64
	Repeat  float64
	Reorder float64 // held back until up to roughHeldMax others have gone by
}

// roughHeldMax is how many packets may overtake one that is held back.
const roughHeldMax = 16

// Check says what is wrong with the shares.
func (r Roughness) Check() error {
	for _, share := range []float64{r.Lose, r.Repeat, r.Reorder} {
		if !(share >= 0 && share <= 0.5) {
			return fmt.Errorf("a share of %v of the packets is to suffer: from 0 to 0.5 is possible", share)
		}
	}
	return nil
}

// roughWire is a wire that does not treat all packets well: what a network
// does, where the kernel has no netem to do it.
type roughWire struct {
	// Fixed after construction.
	Wire
	share  Roughness
	random *rand.Rand

	// Owned by the goroutine.
	in, out held
}

// Rough puts roughness before a wire; the seed says which packets.
func Rough(w Wire, share Roughness, seed uint64) Wire {
	if share == (Roughness{}) {
		return w
	}
	return &roughWire{Wire: w, share: share, random: rand.New(rand.NewPCG(seed, 0))}
}

// held are packets that others overtake.
type held struct {
	packets [][]byte
	left    []int // until it is its turn
}

func (h *held) add(p []byte, left int) {
	h.packets, h.left = append(h.packets, append([]byte(nil), p...)), append(h.left, left)
}

// next returns a packet whose turn it is: all are if nothing else moves.
func (h *held) next(still bool) []byte {
	for i := range h.packets {
		if still || h.left[i] <= 0 {
			p := h.packets[i]
			h.packets = append(h.packets[:i], h.packets[i+1:]...)
			h.left = append(h.left[:i], h.left[i+1:]...)
			return p
		}
	}
	return nil
}

func (h *held) passed() {
	for i := range h.left {
		h.left[i]--
	}
}

func (w *roughWire) chance(share float64) bool { return w.random.Float64() < share }

func (w *roughWire) Read() ([]byte, syscall.Errno) {
	for {
		if p := w.in.next(false); p != nil {
			return p, 0
		}
		p, errno := w.Wire.Read()
		if errno == unix.EAGAIN {
			for late := w.out.next(true); late != nil; late = w.out.next(true) {
				w.Wire.Write(late)
			}
			if late := w.in.next(true); late != nil {
				return late, 0
			}
		}
		if errno != 0 {
			return p, errno
		}
		if w.in.passed(); w.chance(w.share.Lose) {
			continue
		}
		if w.chance(w.share.Repeat) {
			w.in.add(p, 0)
		}
		if w.chance(w.share.Reorder) {
			w.in.add(p, 1+w.random.IntN(roughHeldMax))
			continue
		}
		return p, 0
	}
}

func (w *roughWire) Write(p []byte) (errno syscall.Errno) {
	for late := w.out.next(false); late != nil; late = w.out.next(false) {
		w.Wire.Write(late)
	}
	if w.out.passed(); w.chance(w.share.Lose) {
		return 0
	}
	if w.chance(w.share.Repeat) {
		w.out.add(p, 0)
	}
	if w.chance(w.share.Reorder) {
		w.out.add(p, 1+w.random.IntN(roughHeldMax))
		return 0
	}
	return w.Wire.Write(p)
}
