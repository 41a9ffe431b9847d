package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"c10m/conn/wire"
)

// Tokens are made, and judged a second time, by another library than the one
// that the server judges with: github.com/golang-jwt/jwt.

// testNow is when all tests take place.
var testNow = time.Unix(1_800_000_000, 300_000_000)

type object = map[string]any

// A signer is a private key and how the server is told of it.
type signer struct {
	method  jwt.SigningMethod
	private any
	public  any    // for verification
	file    []byte // of --token-key
}

// testSigners is one of each algorithm.
var testSigners = sync.OnceValue(func() map[string]*signer {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	secret := []byte(strings.Repeat("secret!!", 4))
	return map[string]*signer{
		"HS256": {jwt.SigningMethodHS256, secret, secret, append(secret[:32:32], '\n')},
		"RS256": {jwt.SigningMethodRS256, rsaKey, &rsaKey.PublicKey, publicPEM(&rsaKey.PublicKey)},
		"ES256": {jwt.SigningMethodES256, ecKey, &ecKey.PublicKey, publicPEM(&ecKey.PublicKey)},
		"EdDSA": {jwt.SigningMethodEdDSA, edKey, edPublic, publicPEM(edPublic)},
	}
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func publicPEM(key crypto.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(key))})
}

// sign makes a token with claims and, in header, what its header has beside alg
// and typ.
func (s *signer) sign(claims any, header object) string {
	body := must(json.Marshal(claims))
	token := jwt.NewWithClaims(s.method, rawClaims{body: body})
	for name, value := range header {
		token.Header[name] = value
	}
	return must(token.SignedString(s.private))
}

// rawClaims sign any payload, well formed or not.
type rawClaims struct {
	jwt.RegisteredClaims
	body json.RawMessage
}

func (c rawClaims) MarshalJSON() ([]byte, error) { return c.body, nil }

// raw is a payload that is written as it stands.
type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// request is a good request with more header lines.
// head parses a request for a target with these lines.
func head(target string, lines ...string) *wire.Head {
	text := "GET " + target + " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		strings.Join(append(lines, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", ""), "\r\n")
	h := &wire.Head{}
	if size, fault := h.Parse([]byte(text), wire.HeadBytesMax); size != len(text) || fault != wire.FaultNone {
		panic(fmt.Sprintf("%q: %d %d", text, size, fault))
	}
	return h
}

func credentials(h *wire.Head) *Credentials {
	return &Credentials{
		Authorization: h.Value(wire.Authorization), Authorizations: h.Count(wire.Authorization),
		Protocols: h.Lines(wire.SecWebSocketProtocol, make([][]byte, 8)), Query: h.Query(),
	}
}

func request(target string, lines ...string) *Credentials { return credentials(head(target, lines...)) }

func bearer(token string) *Credentials { return request("/news", "Authorization: Bearer "+token) }

func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newTokens makes Tokens with the key of each of the names.
func newTokens(t testing.TB, config TokenConfig, names ...string) *Tokens {
	t.Helper()
	for _, name := range names {
		config.KeyFiles = append(config.KeyFiles, writeFile(t, name, testSigners()[name].file))
	}
	if config.Now == nil {
		config.Now = func() time.Time { return testNow }
	}
	tokens, err := NewTokens(config)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

var allAlgorithms = []string{"HS256", "RS256", "ES256", "EdDSA"}
