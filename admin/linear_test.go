package admin

import (
	"errors"
	"io"
	"runtime"
	"testing"
)

// A pieceReader gives so many bytes at a time.
type pieceReader struct{ left, piece int }

func (r *pieceReader) Read(p []byte) (int, error) {
	n := min(len(p), r.left, r.piece)
	r.left -= n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// A body costs in proportion to its bytes, in what is allocated and so copied,
// however it is cut and whether its length is announced or not.
func TestBodiesInPiecesCostByTheByte(t *testing.T) {
	const size = batchBytesMax
	p := &publisher{bodiesBytesMax: bodiesBytesMax}
	for _, piece := range []int{1, 2, 7, 64, 1024} {
		for _, most := range []int{size, size + 1} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			body, err := p.read(&pieceReader{size, piece}, most)
			runtime.ReadMemStats(&after)
			if err != nil || len(body) != size || p.bodies.Swap(0) != int64(cap(body)) {
				t.Fatalf("pieces of %d: %d bytes, %v", piece, len(body), err)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 3*size+64<<10 {
				t.Errorf("pieces of %d: %d bytes were allocated for %d", piece, allocated, size)
			}
		}
	}
}

// Who announces a long body and sends little of it gets little memory, and takes
// none from others.
func TestABodyHoldsTwiceWhatCame(t *testing.T) {
	p := &publisher{bodiesBytesMax: bodiesBytesMax}
	for _, sent := range []int{0, 1, bodyStartBytes, 100_000} {
		body, err := p.read(&pieceReader{sent, 1000}, batchBytesMax)
		if held := p.bodies.Swap(0); err != nil || held > int64(max(2*sent, bodyStartBytes)) || held != int64(cap(body)) {
			t.Errorf("%d bytes came, and %d are held, %v", sent, held, err)
		}
	}
	p.bodies.Store(bodiesBytesMax - 100_000)
	_, err := p.read(&pieceReader{batchBytesMax, 1000}, batchBytesMax)
	if no := (*refusal)(nil); !errors.As(err, &no) || no.result != resultOverloaded {
		t.Errorf("all together hold too much: %v", err)
	}
}
