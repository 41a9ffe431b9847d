package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"sync/atomic"
)

// A Password can be compared and replaced by any goroutine. The zero value is none, which
// nothing is equal to.
type Password struct {
	digest atomic.Pointer[[sha256.Size]byte]
}

// Set replaces the password. An empty one is none.
func (p *Password) Set(password string) {
	if password == "" {
		p.digest.Store(nil)
		return
	}
	digest := sha256.Sum256([]byte(password))
	p.digest.Store(&digest)
}

// IsSet reports whether there is a password.
func (p *Password) IsSet() bool { return p.digest.Load() != nil }

// Is compares digests, which have one length and no meaning, in constant time: neither
// the password's length nor its prefix leaks.
func (p *Password) Is(word []byte) bool {
	want, got := p.digest.Load(), sha256.Sum256(word)
	return want != nil && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
