package access

import "time"

// The limits of tokens, with their reasons.
const (
	// TokenBytesMax is the longest token: twice what a request may have by default
	// (--request-bytes), and 50 us of hashing.
	TokenBytesMax = 16 << 10
	// tokenLeeway is by how much clocks may differ: that of who makes tokens,
	// and ours. It is added to exp and taken from nbf.
	tokenLeeway = 5 * time.Second
	// keysMax bounds the keys, all of which are tried for a token that names
	// none: a signature of each takes up to 0.1 ms.
	keysMax = 16
	// keyFileBytesMax bounds a file of keys. A key takes 2 KB at most.
	keyFileBytesMax = 256 << 10
	// secretBytesMin is the hash's size, as RFC 7518, 3.2, demands.
	secretBytesMin = 32
	// rsaBitsMin is RFC 7518, 3.3. rsaBitsMax bounds what a signature costs:
	// twice the bits are four times the time.
	rsaBitsMin = 2048
	rsaBitsMax = 8192
)
