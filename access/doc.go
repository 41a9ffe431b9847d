/*
Package access says who gets in: it judges what a newcomer shows, before the
newcomer is anything to the server. It knows nothing of loops and sockets, keeps
nothing per connection, and does no I/O but at start and when it is told to read
its files again.

# Tokens

Without keys everybody may subscribe to everything. With keys (--token-key,
--token-jwks) a request needs a token: a JWT (RFC 7519) in compact form, signed
with HS256, RS256, ES256 or EdDSA (Ed25519).

	token.go          which tokens are good, and what they grant
	token_keys.go     the files of keys
	token_request.go  where in a request a token is
	token_limits.go   limits, with their reasons

A token may be in one of three places, and only in one (RFC 6750, 2; several are
answered with 400, even equal ones):

	Authorization: Bearer TOKEN                  programs
	Sec-WebSocket-Protocol: c10m.token, TOKEN    browsers: new WebSocket(url, ["c10m.token", token])
	GET /news?NAME=TOKEN                         with --token-query NAME only: URLs end in logs

The claims that count, all others are passed over:

	exp        when it ends, 5 s of leeway included, and so does the connection; without, never
	nbf, iat   it is not good before, with 5 s of leeway
	aud        has to name one of --token-audience, if that is given
	subscribe  a pattern of channels, or a list of them, that may be subscribed to
	publish    the same for publishing (see --publish)

A pattern is one of Redis (*, ?, [a-z], \ before what is meant literally). A
token without subscribe may subscribe to nothing. Who makes tokens from names
that users choose has to escape these: a user named * would else get everything.

# Who owns what

Tokens belong to nobody: any goroutine may call them. The set of keys is
replaced as a whole, by Reload, through one atomic pointer; a verification uses
the set that it began with. Nothing else changes.

# Invariants

  - A key is used with one algorithm, that of its type. The token's header
    chooses among our keys (kid) and nothing else: no key comes from a token
    (jwk, jku, x5c), and "none" has no key.
  - Nothing that a token says is used before its signature is known to be good.
  - The peer is told what kind of fault it is (missing, invalid, expired, early,
    for somebody else, channel), never which key or which check.
  - A token is neither logged nor answered.
  - A file that cannot be read, or has one key that is broken, private or too
    short, changes nothing.

# Limits

A token has to fit the request, which may have 4,096 bytes: with the lines that
a browser sends, 3,000 bytes for the token are safe. 16 keys. Patterns cost at
most their bytes times those of the channel in steps; only who can sign can make
them long.

Nothing is kept here per connection (conn keeps 12 bytes for a token with exp).
The work is done on the loop's thread, since it does not block; how much of it
there may be in one turn is conn's to limit. BenchmarkJudge has the times.

# Libraries

github.com/go-jose/go-jose/v4 verifies tokens and reads key sets: one library
without dependencies for both, whose list of algorithms is mandatory and whose
JSON decoder takes names of claims as they are written and refuses a name that
is there twice. github.com/golang-jwt/jwt/v5 makes the tokens of the tests and is
the second opinion of FuzzToken.

# Tried and dropped

  - golang-jwt for verification, with another library for key sets: two where one
    does, and encoding/json takes "EXP" for "exp", so that whoever may put a
    claim of his own into a token could replace one that counts.
  - Taking a lone token that is there twice: a proxy in front may have looked at
    the other one.

# What looks wrong but is deliberate

  - A file of --token-key that is not PEM is a secret, but not if it looks like a
    public key in another form (DER, base64, SSH, JSON): it would be a secret
    that everybody knows.
  - A key with an ID is tried for a token that names none. Some issuers leave kid
    out while they have one key.
  - c10m.token is answered even without keys: browsers give up if none of the
    protocols that they offered is chosen, and the same page should work with a
    server on the developer's machine.
  - Reload leaves open connections alone, also those whose key is gone. A token
    is revoked by being short-lived.
*/
package access
