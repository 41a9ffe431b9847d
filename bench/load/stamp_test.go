package load

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// Eight digits at a time give what the library gives, and no other byte than a
// lower-case digit passes, wherever it stands.
func TestParseHex(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 1000 {
		v := random.Uint64() >> random.IntN(64)
		text := []byte(fmt.Sprintf("%016x", v))
		if got, ok := parseHex(text); !ok || got != v {
			t.Fatalf("%s is %x, %v", text, got, ok)
		}
		at := random.IntN(len(text))
		for c := range 256 {
			text[at] = byte(c)
			wanted, err := strconv.ParseUint(string(text), 16, 64)
			good := err == nil && strings.ToLower(string(text)) == string(text)
			if got, ok := parseHex(text); ok != good || ok && got != wanted {
				t.Fatalf("%q is %x, %v", text, got, ok)
			}
		}
	}
}
