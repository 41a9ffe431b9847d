// Package protobuf shows that Protocol Buffers pass the server untouched.
package protobuf

import (
	"bytes"
	"fmt"
	"testing"

	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// price is example.Price of price.proto; encode is what protoc's code would do.
type price struct {
	symbol      string
	changeCents int64
	unixNanos   uint64
}

func (p price) encode() []byte {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), p.symbol)
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), protowire.EncodeZigZag(p.changeCents))
	return protowire.AppendFixed64(protowire.AppendTag(b, 3, protowire.Fixed64Type), p.unixNanos)
}

func decode(b []byte) (p price, err error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return p, protowire.ParseError(n)
		}
		b = b[n:]
		var value uint64
		switch {
		case number == 1 && kind == protowire.BytesType:
			p.symbol, n = protowire.ConsumeString(b)
		case number == 2 && kind == protowire.VarintType:
			value, n = protowire.ConsumeVarint(b)
			p.changeCents = protowire.DecodeZigZag(value)
		case number == 3 && kind == protowire.Fixed64Type:
			p.unixNanos, n = protowire.ConsumeFixed64(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return p, protowire.ParseError(n)
		}
		b = b[n:]
	}
	return p, nil
}

// What is published with Redis's PUBLISH or with PUB comes as binary frames, raw and
// in c10m.v1, also if the bytes happen to be UTF-8, as the second one's.
func TestPayloadsPassUntouched(t *testing.T) {
	s := servertest.StartServer(t, 0, "--publish", "own", "--frame", "binary")
	bus := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Bus)})
	t.Cleanup(func() { bus.Close() })
	raw, many := s.Dial(t, "prices"), s.Dial(t, "prices", "c10m.v1")
	many.Next(t) // OK SUB
	prices := []price{{"C10M\n", -1_000_000, 1 << 63}, {"UTF8", 1, 0}, {"", 0, 0x0a0d0a0d}}
	for _, p := range prices {
		if err := bus.Publish(t.Context(), "prices", p.encode()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range prices {
		if err := wsutil.WriteClientMessage(many, ws.OpBinary, append([]byte("PUB prices\n"), p.encode()...)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range append(prices, prices...) {
		got, opcode, err := wsutil.ReadServerData(raw)
		if err != nil || opcode != ws.OpBinary {
			t.Fatalf("%v %v", opcode, err)
		}
		_, named, _ := bytes.Cut([]byte(many.Next(t)), []byte("\n"))
		for _, payload := range [][]byte{got, named} {
			if p, err := decode(payload); err != nil || p != want {
				t.Errorf("got %+v %v, want %+v", p, err, want)
			}
		}
	}
}
