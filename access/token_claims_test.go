package access

import (
	"strings"
	"testing"
)

// TestTokensHaveOneForm: no other text is as good as the one that was made, though the
// bits that a last character has too many are of no byte.
func TestTokensHaveOneForm(t *testing.T) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	tokens := newTokens(t, TokenConfig{}, allAlgorithms...)
	for _, name := range allAlgorithms {
		for _, claims := range []string{"news", "newss", "newsss"} { // each remainder of 3
			token := testSigners()[name].sign(object{"subscribe": []string{"news", claims}}, nil)
			if _, err := tokens.Judge(bearer(token), []byte("news")); err != nil {
				t.Fatal(err)
			}
			for _, end := range []int{strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.'), len(token)} {
				for _, letter := range letters {
					other := token[:end-1] + string(letter) + token[end:]
					if _, err := tokens.Judge(bearer(other), []byte("news")); err == nil && other != token {
						t.Errorf("%s: %q is as good as %q", name, other, token)
					}
				}
				for _, more := range []string{"=", "==", "A", "%0A", "."} {
					if _, err := tokens.Judge(bearer(token[:end]+more+token[end:]), []byte("news")); err == nil {
						t.Errorf("%s: good with %q in it", name, more)
					}
				}
			}
		}
	}
}

func TestTokensAreNotUnencoded(t *testing.T) {
	for _, value := range []bool{true, false} {
		token := testSigners()["HS256"].sign(object{"subscribe": "news"}, object{"b64": value, "crit": []string{"b64"}})
		if _, err := newTokens(t, TokenConfig{}, "HS256").Judge(bearer(token), []byte("news")); err != ErrTokenInvalid {
			t.Errorf("b64 %t: %v", value, err)
		}
	}
}
