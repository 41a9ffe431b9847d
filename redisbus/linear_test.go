package redisbus

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// A pieceReader gives a stream in pieces.
type pieceReader struct {
	stream []byte
	piece  int
}

func (r *pieceReader) Read(p []byte) (int, error) {
	n := copy(p, r.stream[:min(r.piece, len(r.stream))])
	r.stream = r.stream[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// A command costs in proportion to its bytes, in what is allocated and so copied,
// however it is cut; and a peer holds twice of what it has sent at the most.
func TestCommandsInPiecesCostByTheByte(t *testing.T) {
	bulk := func(size int) []byte {
		return fmt.Appendf(nil, "*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$%d\r\n%s\r\n", size, bytes.Repeat([]byte("x"), size))
	}
	many := append(fmt.Appendf(nil, "*%d\r\n", commandArgsMax), strings.Repeat("$1\r\nx\r\n", commandArgsMax)...)
	for _, piece := range []int{1, 2, 7, 64, 1024} {
		largest := commandBytesMax - 100
		if piece < 64 {
			largest = 2 << 20 // as many reads as the largest has with 64 bytes each, and more
		}
		for what, command := range map[string][]byte{
			"a bulk string": bulk(largest),
			"arguments":     many,
			"a line":        []byte("PUBLISH news " + strings.Repeat("x", inlineBytesMax-16) + "\r\n"),
			"words":         []byte("PUBLISH news" + strings.Repeat(" x", inlineBytesMax/2-16) + "\r\n"),
			"quotes":        []byte("PUBLISH news " + strings.Repeat(`"\n" `, inlineBytesMax/5-4) + "\r\n"),
		} {
			n := 0 // arguments
			f, source := framer{}, &pieceReader{command, piece}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for {
				args, err := f.next(true)
				if err == nil && len(args) >= 3 {
					n = len(args)
					break
				}
				if err != errMore {
					t.Fatalf("%s in pieces of %d: %d arguments, %v", what, piece, len(args), err)
				}
				if err := f.fill(source); err != nil {
					t.Fatalf("%s in pieces of %d: %v", what, piece, err)
				}
				if len(f.buf) > 2*f.w+2*readBufferBytes {
					t.Fatalf("%s in pieces of %d: %d bytes are held for %d", what, piece, len(f.buf), f.w)
				}
			}
			runtime.ReadMemStats(&after)
			// The buffer doubles; and an argument is a slice of 24 bytes, in a list
			// that grows by append.
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(5*len(command)+7*24*n+4*readBufferBytes) {
				t.Errorf("%s in pieces of %d: %d bytes were allocated for %d", what, piece, allocated, len(command))
			}
		}
	}
}
