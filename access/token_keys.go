package access

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"c10m/internal/secret"

	"github.com/go-jose/go-jose/v4"
)

// A key verifies tokens of one algorithm only, the one that belongs to its
// type. So nobody can have an RSA public key, which is no secret, taken for the
// secret of an HMAC, and "none" belongs to no key (RFC 8725, 3.1).
type key struct {
	algorithm jose.SignatureAlgorithm
	id        string // kid; empty for keys that have none
	public    any    // for HS256, the secret
}

// A keySet is replaced as a whole and never changed.
type keySet struct {
	keys       []key
	algorithms []jose.SignatureAlgorithm // of all of them
}

// claimsOf returns the claims of a token that one of the keys signed. A key
// with an ID is not tried for a token that names another one (RFC 7515, 4.1.4).
// What the token's header says of keys beyond kid (jwk, jku, x5c) is for
// nothing: everybody can say such things.
func (s *keySet) claimsOf(token []byte) (*claims, error) {
	if !plausibleToken(token) {
		return nil, ErrTokenInvalid
	}
	parsed, err := jose.ParseSignedCompact(string(token), s.algorithms)
	if err != nil {
		return nil, ErrTokenInvalid
	}
	header := parsed.Signatures[0].Protected
	if _, ok := header.ExtraHeaders["b64"]; ok { // RFC 7797, 7: not in a JWT
		return nil, ErrTokenInvalid
	}
	for _, k := range s.keys {
		if string(k.algorithm) != header.Algorithm || k.id != "" && header.KeyID != "" && k.id != header.KeyID {
			continue
		}
		if payload, err := parsed.Verify(k.public); err == nil {
			return parseClaims(payload)
		}
	}
	return nil, ErrTokenInvalid
}

// plausibleToken reports whether token is base64url without padding, three times
// (RFC 7515, 2 and 7.1), as an encoder writes it. The decoder of go-jose passes over line
// feeds, which a query can hold, and over the bits of a last character that are of no
// byte: with those a token would have up to 16 forms.
func plausibleToken(token []byte) bool {
	if len(token) > TokenBytesMax || bytes.ContainsAny(token, "\r\n") {
		return false
	}
	parts := 0
	for part := range bytes.SplitSeq(token, []byte(".")) {
		_, err := base64.RawURLEncoding.Strict().AppendDecode(nil, part)
		if parts++; len(part) == 0 || err != nil {
			return false
		}
	}
	return parts == 3
}

// readKeys reads all files. The same key in two of them is one.
func readKeys(keyFiles []string, jwksFile string) (*keySet, error) {
	s := &keySet{}
	for _, name := range keyFiles {
		if err := s.addFile(name, parseKeyFile); err != nil {
			return nil, err
		}
	}
	if jwksFile != "" {
		if err := s.addFile(jwksFile, parseJWKS); err != nil {
			return nil, err
		}
	}
	if len(s.keys) == 0 || len(s.keys) > keysMax {
		return nil, fmt.Errorf("there are %d keys for tokens, and there have to be 1 to %d", len(s.keys), keysMax)
	}
	return s, nil
}

func (s *keySet) addFile(name string, parse func([]byte) ([]key, error)) error {
	data, err := secret.Read(name, keyFileBytesMax, "--token-key and --token-jwks take the name of a file that holds the key, and not the key")
	if err != nil {
		return fmt.Errorf("cannot read keys for tokens: %w", err)
	}
	keys, err := parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, k := range keys {
		if slices.ContainsFunc(s.keys, k.equals) {
			continue
		}
		s.keys = append(s.keys, k)
		if !slices.Contains(s.algorithms, k.algorithm) {
			s.algorithms = append(s.algorithms, k.algorithm)
		}
	}
	return nil
}

func (k key) equals(other key) bool {
	if k.algorithm != other.algorithm || k.id != other.id {
		return false
	}
	if secret, ok := k.public.([]byte); ok {
		return bytes.Equal(secret, other.public.([]byte))
	}
	return k.public.(interface{ Equal(x crypto.PublicKey) bool }).Equal(other.public)
}

var (
	errPrivateKey = errors.New("this is a private key; the server needs the public one only (openssl pkey -in FILE -pubout)")
	errShort      = fmt.Errorf("the secret is shorter than %d bytes, so it could be guessed (RFC 7518, 3.2); make one with: openssl rand -hex 32", secretBytesMin)
	errBlank      = errors.New("the secret begins or ends with a blank or an empty line, which would be part of it; take it away (one line end is left out)")
)

// parseKeyFile reads public keys in PEM, or takes the file for a secret. A
// public key in some other form would make a secret that everybody knows, so it
// is looked for.
func parseKeyFile(data []byte) ([]key, error) {
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		return parsePEM(data)
	}
	secret := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if what := notSecret(secret); what != "" {
		return nil, errors.New("this is " + what)
	}
	if len(secret) < secretBytesMin {
		return nil, errShort
	}
	if isText(secret) && len(bytes.TrimSpace(secret)) != len(secret) {
		return nil, errBlank
	}
	return []key{{algorithm: jose.HS256, public: secret}}, nil
}

// isText reports whether a secret was written by letters, and not drawn from all bytes.
func isText(secret []byte) bool {
	for _, c := range secret {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c > '~' {
			return false
		}
	}
	return true
}

// notSecret says what a file is that somebody takes for a secret, if that is
// known.
func notSecret(data []byte) string {
	trimmed := bytes.TrimSpace(data)
	for _, prefix := range []string{"ssh-", "ecdsa-sha2-", "sk-"} {
		if bytes.HasPrefix(trimmed, []byte(prefix)) {
			return "a public key for SSH; write it in PEM (ssh-keygen -e -m PKCS8 -f FILE)"
		}
	}
	if bytes.HasPrefix(trimmed, []byte("{")) && json.Valid(trimmed) {
		return "JSON; a key set belongs to --token-jwks"
	}
	if len(data) > 0 && len(bytes.Trim(data, "\x00")) == 0 {
		return "nothing but zeros, like a file that was never written"
	}
	der := data
	compact := bytes.Join(bytes.Fields(trimmed), nil)
	if decoded, err := base64.StdEncoding.AppendDecode(nil, compact); err == nil && !isDER(der) {
		der = decoded
	}
	if isDER(der) {
		return "a key or certificate in DER; write it in PEM (openssl pkey -pubin -inform DER -in FILE)"
	}
	return ""
}

func isDER(data []byte) bool {
	_, pkix := x509.ParsePKIXPublicKey(data)
	_, pkcs1 := x509.ParsePKCS1PublicKey(data)
	_, certificate := x509.ParseCertificate(data)
	_, pkcs8 := x509.ParsePKCS8PrivateKey(data)
	return pkix == nil || pkcs1 == nil || certificate == nil || pkcs8 == nil
}

// parsePEM reads all public keys and certificates of a file. Of a certificate
// only the key counts: who may sign is the operator's to say, by this file.
func parsePEM(data []byte) (keys []key, err error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		var public any
		switch block.Type {
		case "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case "CERTIFICATE":
			var certificate *x509.Certificate
			if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
				public = certificate.PublicKey
			}
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY":
			return nil, errPrivateKey
		default:
			return nil, fmt.Errorf("a PEM block of type %q is no public key", block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the public key: %w", err)
		}
		algorithm, err := algorithmOf(public)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key{algorithm: algorithm, public: public})
	}
	if len(keys) == 0 || bytes.Contains(data, []byte("-----BEGIN ")) {
		return nil, errors.New("the PEM is broken")
	}
	return keys, nil
}

// algorithmOf is the one algorithm that a key is used with (RFC 7518, 3, and
// RFC 8037, 3.1).
func algorithmOf(public any) (jose.SignatureAlgorithm, error) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < rsaBitsMin || bits > rsaBitsMax {
			return "", fmt.Errorf("the RSA key has %d bits, and RS256 needs %d to %d (RFC 7518, 3.3)", bits, rsaBitsMin, rsaBitsMax)
		}
		return jose.RS256, nil
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return "", fmt.Errorf("the key is on the curve %s, and ES256 needs P-256", public.Curve.Params().Name)
		}
		return jose.ES256, nil
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	case []byte:
		if len(public) < secretBytesMin {
			return "", errShort
		}
		return jose.HS256, nil
	}
	return "", fmt.Errorf("a key of type %T is of no use here; there are HS256, RS256, ES256 and EdDSA (Ed25519)", public)
}

// parseJWKS reads the keys of a set (RFC 7517, 5). What is not for us is passed
// over, as the RFC asks for: kinds of keys that we do not know, and keys for
// encryption or of another algorithm.
func parseJWKS(data []byte) (keys []key, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("this is no JSON Web Key Set: %w", err)
	}
	for i, raw := range set.Keys {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); errors.Is(err, jose.ErrUnsupportedKeyType) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("key %d of the set is broken: %w", i+1, err)
		}
		secret, isSecret := k.Key.([]byte)
		if !isSecret && !k.IsPublic() {
			return nil, fmt.Errorf("key %d of the set: %w", i+1, errPrivateKey)
		}
		if k.Use != "" && k.Use != "sig" {
			continue
		}
		algorithm, err := algorithmOf(k.Key)
		if isSecret && len(secret) < secretBytesMin {
			return nil, fmt.Errorf("key %d of the set: %w", i+1, err)
		}
		if err != nil || k.Algorithm != "" && k.Algorithm != string(algorithm) {
			continue
		}
		keys = append(keys, key{algorithm: algorithm, id: k.KeyID, public: k.Key})
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of the %d keys of the set is for HS256, RS256, ES256 or EdDSA", len(set.Keys))
	}
	return keys, nil
}
