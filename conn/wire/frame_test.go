package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"c10m/conn/wire/wiretest"

	"github.com/gobwas/ws"
)

func TestFrameModes(t *testing.T) {
	for _, c := range []struct {
		mode    FrameMode
		payload string
		opcode  ws.OpCode
	}{
		{FrameAuto, "text é", ws.OpText}, {FrameAuto, "\xff", ws.OpBinary}, {FrameAuto, "", ws.OpText},
		{FrameText, "\xff", ws.OpText}, {FrameBinary, "text", ws.OpBinary},
	} {
		for _, n := range []int{1, 100, 125, 126, 65535, 65536, 70000} {
			payload := []byte(strings.Repeat(c.payload, n))
			f, err := wiretest.ReadFrame(bytes.NewReader(c.mode.Frame(payload)))
			if err != nil || f.Header.OpCode != c.opcode || !f.Header.Fin || f.Header.Masked || !bytes.Equal(f.Payload, payload) {
				t.Errorf("mode %d, %d bytes: %+v %v", c.mode, len(payload), f.Header, err)
			}
		}
	}
	for _, n := range []int{0, 1, 125, 126, 127, 65534, 65535, 65536} {
		want := ws.MustCompileFrame(ws.NewBinaryFrame(make([]byte, n)))
		if got := FrameBinary.Frame(make([]byte, n)); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: header %x, and the library makes %x", n, got[:10], want[:10])
		}
	}
}

// parseHeader agrees with the library about every input: the same header from
// the same number of bytes, the same error, or both want more.
func FuzzHeader(f *testing.F) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		f.Add(wiretest.Frame(0x82, make([]byte, n))[:min(n+6, 20)])
		f.Add(ws.MustCompileFrame(ws.NewTextFrame(make([]byte, n)))[:min(n+2, 20)])
	}
	f.Add([]byte{0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, p []byte) {
		reader := bytes.NewReader(p)
		want, wantErr := ws.ReadHeader(reader)
		wantSize := len(p) - reader.Len()
		got, size, err := parseHeader(p)
		switch {
		case err != nil:
			// The library reads the mask before it looks at the length.
			if wantErr == nil {
				t.Fatalf("%x: we say %v, the library %+v", p, err, want)
			}
		case size == 0:
			if wantErr == nil {
				t.Fatalf("%x: we want more, the library has %+v", p, want)
			}
		case wantErr != nil || got != want || size != wantSize:
			t.Fatalf("%x: we have %+v from %d bytes, the library %+v from %d, %v", p, got, size, want, wantSize, wantErr)
		}
		if size > headerBytesMax {
			t.Fatalf("%x: a header of %d bytes", p, size)
		}
		if size > 0 && err == nil && minimal(got, size) && size != ws.HeaderSize(got) {
			t.Fatalf("%x: %d bytes are not minimal", p, size)
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	p := wiretest.Frame(0x82, make([]byte, 126))
	b.ReportAllocs()
	for b.Loop() {
		if _, size, _ := parseHeader(p); size != 8 {
			b.Fatal(size)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	for _, n := range []int{16, 256, 65536} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			payload := binary.BigEndian.AppendUint64(nil, 1)
			payload = append(payload, bytes.Repeat([]byte{'x'}, n-8)...)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				FrameAuto.Frame(payload)
			}
		})
	}
}
