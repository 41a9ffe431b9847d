package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sys/unix"
)

func threadNanos() int64 {
	var now unix.Timespec
	must(now, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now))
	return now.Nano()
}

// setSigner is a key of a set, the same for the same name.
func setSigner(name string) *signer {
	seed := sha256.Sum256([]byte(name))
	private := ed25519.NewKeyFromSeed(seed[:])
	return &signer{method: jwt.SigningMethodEdDSA, private: private, public: private.Public()}
}

func encode(p []byte) string { return base64.RawURLEncoding.EncodeToString(p) }

func setKey(name string) object {
	public := setSigner(name).public.(ed25519.PublicKey)
	return object{"kty": "OKP", "crv": "Ed25519", "kid": name, "x": encode(public)}
}

// testSet is a key set as an issuer publishes it, with these keys and some that
// are not for us.
func testSet(names ...string) []byte {
	keys := []any{
		object{"kty": "post-quantum", "kid": "future"},
		object{"kty": "OKP", "crv": "X25519", "x": encode(make([]byte, 32)), "use": "enc"},
	}
	for _, name := range names {
		keys = append(keys, setKey(name))
	}
	return must(json.Marshal(object{"keys": keys}))
}

func TestKeySetOfEachAlgorithm(t *testing.T) {
	signers := testSigners()
	rsaKey := signers["RS256"].public.(*rsa.PublicKey)
	ecPoint := must(signers["ES256"].public.(*ecdsa.PublicKey).Bytes())
	secret := signers["HS256"].public.([]byte)
	set := object{"keys": []any{
		object{"kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig", "n": encode(rsaKey.N.Bytes()), "e": encode(big.NewInt(int64(rsaKey.E)).Bytes())},
		object{"kty": "EC", "kid": "e", "crv": "P-256", "x": encode(ecPoint[1:33]), "y": encode(ecPoint[33:])},
		object{"kty": "oct", "kid": "h", "k": encode(secret)},
		object{"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": encode(signers["EdDSA"].public.(ed25519.PublicKey))},
	}}
	tokens := newTokens(t, TokenConfig{JWKSFile: writeFile(t, "jwks", must(json.Marshal(set)))})
	if tokens.Keys() != 4 {
		t.Errorf("%d keys", tokens.Keys())
	}
	for name, kid := range map[string]string{"RS256": "r", "ES256": "e", "HS256": "h", "EdDSA": "d"} {
		token := signers[name].sign(object{"subscribe": "*"}, object{"kid": kid})
		if _, err := tokens.Judge(bearer(token), []byte("news")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		token = signers[name].sign(object{"subscribe": "*"}, object{"kid": "r" + kid})
		if _, err := tokens.Judge(bearer(token), []byte("news")); err != ErrTokenInvalid {
			t.Errorf("%s with an unknown kid: %v", name, err)
		}
	}
}

func TestFilesThatAreNoKeys(t *testing.T) {
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	rsaKey := testSigners()["RS256"]
	der := must(x509.MarshalPKIXPublicKey(rsaKey.public))
	private := must(x509.MarshalPKCS8PrivateKey(rsaKey.private))
	block := func(kind string, p []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: p}) }
	set := func(keys ...any) []byte { return must(json.Marshal(object{"keys": keys})) }
	privateJWK := setKey("a")
	privateJWK["d"] = encode(setSigner("a").private.(ed25519.PrivateKey).Seed())
	encryption := setKey("a")
	encryption["use"] = "enc"
	for _, c := range []struct {
		what string
		set  bool
		file []byte
		says string
	}{
		{"empty", false, nil, "shorter than 32"},
		{"short secret", false, []byte(strings.Repeat("x", 31) + "\n"), "shorter than 32"},
		{"private key", false, block("PRIVATE KEY", private), "private key"},
		{"private key behind a public one", false, append(bytes.Clone(rsaKey.file), block("PRIVATE KEY", private)...), "private key"},
		{"short RSA key", false, publicPEM(&small.PublicKey), "1024 bits"},
		{"another curve", false, publicPEM(&p384.PublicKey), "P-384"},
		{"broken PEM", false, []byte("-----BEGIN PUBLIC KEY-----\nAAAA"), "broken"},
		{"broken PEM behind a good one", false, append(bytes.Clone(rsaKey.file), "-----BEGIN PUBLIC KEY-----\nAAAA"...), "broken"},
		{"PEM of rubbish", false, block("PUBLIC KEY", []byte("rubbish")), "cannot read"},
		{"PEM of something else", false, block("EC PARAMETERS", []byte("rubbish")), "no public key"},
		// Each of these would be a secret that everybody knows.
		{"public key in DER", false, der, "DER"},
		{"public key in base64", false, []byte(base64.StdEncoding.EncodeToString(der)), "DER"},
		{"public key in lines of base64", false, rsaKey.file[len("-----BEGIN PUBLIC KEY-----\n") : len(rsaKey.file)-len("-----END PUBLIC KEY-----\n")], "DER"},
		{"public key for SSH", false, []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8g us@here\n"), "SSH"},
		{"a file of zeros", false, make([]byte, 40), "nothing but zeros"},
		{"key set as a secret", false, testSet("a"), "--token-jwks"},
		// Each of these would be another secret than the one that was meant.
		{"secret with a byte order mark", false, []byte("\xef\xbb\xbf" + strings.Repeat("s", 32)), "byte order mark"},
		{"PEM with a byte order mark", false, append([]byte("\xef\xbb\xbf"), rsaKey.file...), "byte order mark"},
		{"set with a byte order mark", true, append([]byte("\xef\xbb\xbf"), testSet("a")...), "byte order mark"},
		{"secret in UTF-16", false, []byte("\xff\xfe" + strings.Repeat("s\x00", 32)), "UTF-16"},
		{"secret in UTF-16, the other way", false, []byte("\xfe\xff" + strings.Repeat("\x00s", 32)), "UTF-16"},
		{"secret in UTF-16 without a mark", false, []byte(strings.Repeat("s\x00", 32)), "UTF-16"},
		{"secret with an empty line", false, []byte(strings.Repeat("s", 32) + "\n\n"), "blank"},
		{"secret with an empty line in front", false, []byte("\n" + strings.Repeat("s", 32)), "blank"},
		{"secret with a blank", false, []byte(strings.Repeat("s", 32) + " \r\n"), "blank"},

		{"no JSON", true, []byte("rubbish"), "no JSON Web Key Set"},
		{"no set", true, must(json.Marshal(setKey("a"))), "none of the 0 keys"},
		{"empty set", true, set(), "none of the 0 keys"},
		{"nothing for us", true, testSet(), "none of the 2 keys"},
		{"for encryption", true, set(encryption), "none of the 1 keys"},
		{"a private key", true, set(privateJWK), "private key"},
		{"a short secret", true, set(object{"kty": "oct", "k": encode([]byte("short"))}), "shorter than 32"},
		{"a broken key", true, set(setKey("a"), object{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}), "key 2 of the set"},
		{"a key for another algorithm", true, set(object{"kty": "oct", "alg": "HS512", "k": encode(make([]byte, 64))}), "none of the 1 keys"},
		{"17 keys", true, testSet(strings.Split("abcdefghijklmnopq", "")...), "17 keys"},
		{"huge", true, bytes.Repeat([]byte(" "), keyFileBytesMax+1), "at most"},
	} {
		config := TokenConfig{}
		if path := writeFile(t, "key", c.file); c.set {
			config.JWKSFile = path
		} else {
			config.KeyFiles = []string{path}
		}
		if _, err := NewTokens(config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	for _, name := range []string{t.TempDir(), "/dev/zero", "/no/such/file"} {
		if _, err := NewTokens(TokenConfig{KeyFiles: []string{name}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A secret that somebody gives in place of a file is not shown to whoever reads the log.
func TestSecretsInPlaceOfFilesAreNotEchoed(t *testing.T) {
	for _, secret := range []string{strings.Repeat("s3cret", 8), strings.Repeat("s3cret", 100), "s3cret/" + strings.Repeat("x", 300),
		"/" + strings.Repeat("s3cret", 8), "s3cret/with/slashes", "s3cret\x00", "-----BEGIN PRIVATE KEY-----\ns3cret"} {
		for _, config := range []TokenConfig{{KeyFiles: []string{secret}}, {JWKSFile: secret}} {
			if _, err := NewTokens(config); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "--token-key") {
				t.Errorf("%.20q: %v", secret, err)
			}
		}
	}
}

func TestFormsOfKeyFiles(t *testing.T) {
	rsaKey, ecKey := testSigners()["RS256"], testSigners()["ES256"]
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate := must(x509.CreateCertificate(rand.Reader, template, template, ecKey.public, ecKey.private))
	pkcs1 := x509.MarshalPKCS1PublicKey(rsaKey.public.(*rsa.PublicKey))
	for what, file := range map[string][]byte{
		"PKCS1 and a certificate": append(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}),
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})...),
		"text around": []byte("first\n" + string(rsaKey.file) + "then\r\n" + strings.ReplaceAll(string(ecKey.file), "\n", "\r\n") + "last"),
	} {
		tokens := newTokens(t, TokenConfig{KeyFiles: []string{writeFile(t, "key", file)}})
		for _, s := range []*signer{rsaKey, ecKey} {
			if _, err := tokens.Judge(bearer(s.sign(object{"subscribe": "*"}, nil)), []byte("news")); err != nil {
				t.Errorf("%s, %s: %v", what, s.method.Alg(), err)
			}
		}
	}
	// A secret that was drawn may begin and end with any byte.
	drawn := append([]byte("\n \x80"), make([]byte, 40)...)
	tokens := newTokens(t, TokenConfig{KeyFiles: []string{writeFile(t, "key", append(drawn, ' '))}})
	s := &signer{method: jwt.SigningMethodHS256, private: append(drawn, ' ')}
	if _, err := tokens.Judge(bearer(s.sign(object{"subscribe": "*"}, nil)), []byte("news")); err != nil {
		t.Errorf("a secret of any bytes: %v", err)
	}
	// One line end belongs to the editor, not to the secret.
	secret := strings.Repeat("s", 32)
	for _, end := range []string{"", "\n", "\r\n"} {
		tokens := newTokens(t, TokenConfig{KeyFiles: []string{writeFile(t, "key", []byte(secret+end))}})
		s := &signer{method: jwt.SigningMethodHS256, private: []byte(secret)}
		if _, err := tokens.Judge(bearer(s.sign(object{"subscribe": "*"}, nil)), []byte("news")); err != nil {
			t.Errorf("secret that ends in %q: %v", end, err)
		}
	}
	twice := writeFile(t, "key", rsaKey.file)
	if n := newTokens(t, TokenConfig{KeyFiles: []string{twice, twice}}, allAlgorithms...).Keys(); n != 4 {
		t.Errorf("%d keys of 4 and two that are there already", n)
	}
}

// Rotation: the file is replaced, and a bad one changes nothing.
func TestReload(t *testing.T) {
	path := writeFile(t, "jwks", testSet("a", "b"))
	tokens := newTokens(t, TokenConfig{JWKSFile: path})
	good := func(name string) bool {
		_, err := tokens.Judge(bearer(setSigner(name).sign(object{"subscribe": "*"}, object{"kid": name})), []byte("news"))
		return err == nil
	}
	for _, step := range []struct {
		file  []byte
		isBad bool
		good  string
	}{
		{testSet("b", "c"), false, "bc"},
		{[]byte("{"), true, "bc"},
		{testSet(), true, "bc"},
		{nil, true, "bc"},
		{testSet("c"), false, "c"},
	} {
		if err := os.WriteFile(path, step.file, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := tokens.Reload(); (err != nil) != step.isBad {
			t.Errorf("%.40s: %v", step.file, err)
		}
		for _, name := range []string{"a", "b", "c"} {
			if got := good(name); got != strings.Contains(step.good, name) {
				t.Errorf("after %.40s: key %s is good: %v", step.file, name, got)
			}
		}
	}
}

// BenchmarkJudge is what a token costs the loop that a client connects to. cpu-ns
// is the thread's own time, which other programs on the machine change less.
//
//	go test -run '^$' -bench Judge -benchmem ./access
func BenchmarkJudge(b *testing.B) {
	for _, name := range allAlgorithms {
		claims := object{"exp": at(3600), "aud": "us", "sub": "user-1234567", "subscribe": []string{"news", "user/1234567/*"}}
		token := testSigners()[name].sign(claims, nil)
		good, bad := bearer(token), []byte(token)
		last := bytes.LastIndexByte(bad, '.') + 20
		if bad[last]++; bad[last] != 'B' { // of the signature
			bad[last] = 'A'
		}
		for _, c := range []struct {
			what    string
			request *Credentials
			err     error
		}{{"good", good, nil}, {"bad", bearer(string(bad)), ErrTokenInvalid}} {
			b.Run(fmt.Sprintf("%s/%s", name, c.what), func(b *testing.B) {
				tokens := newTokens(b, TokenConfig{Audiences: []string{"us"}, Now: func() time.Time { return testNow }}, name)
				b.ReportAllocs()
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				started := threadNanos()
				for b.Loop() {
					if _, err := tokens.Judge(c.request, []byte("user/1234567/mail")); err != c.err {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(threadNanos()-started)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}
