/*
Package access says who gets in: it judges what a newcomer shows, before the
newcomer is anything to the server. It knows nothing of loops and sockets, keeps
nothing per connection, and does no I/O but at start and when it is told to read
its files again. docs/internals/access.md has the choice of libraries, and what was dropped.

# Who gets in

Without keys everybody may subscribe to everything. With keys (--token-key,
--token-jwks) a request needs a token: a JWT (RFC 7519) in compact form, signed
with HS256, RS256, ES256 or EdDSA (Ed25519). docs/internals/access.md says where in a request
it is, and which of its claims count. A token without subscribe may subscribe to nothing. Who
makes tokens from names that users choose has to escape these: a user named * would else get
everything.

A list of origins (--origin) says whose pages may connect (RFC 6454). It protects the user of
a browser, and is no authentication: upgrades and POSTs without Origin come from no browser,
and pass ([Origins.Allow]); [Origins.AllowReader] has the rule for GETs. The admin address
judges Host by itself (admin/site.go).

An address counts as itself in IPv4 and as its /64 in IPv6, mapped and translated
IPv4 as IPv4. A proxy is believed if it is in a trusted network, and has to speak
then; a trusted address is not limited itself, so that health checks and whoever
cannot be told (LOCAL, UNKNOWN, UNSPEC, "unknown") are neither locked out nor lock
anybody out. Only the operator's own proxies can be such.

# Who owns what

Origins and Networks never change. Addresses is shared by all loops: shards under
locks that only a connection's begin and end take, for 0.5 us; nothing slow happens under
them. Nothing is kept here per connection (conn keeps 8 bytes for an address that is
counted, 12 for a token with exp, and what a PatternStore holds).

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
  - An address with a connection is never forgotten; Addresses panics if more are
    released than were admitted.
  - What is refused is not counted: neither limit takes from the other.
  - What a client writes into X-Forwarded-For to the left of its own address is
    not even read. What a PROXY header says does not depend on how it is cut.
  - A file that cannot be read, or has one key that is broken, private or too
    short, changes nothing.

# Limits

They stand beside what they bound. Patterns cost at most their bytes times those of the
channel in steps; only who can sign can make them long. The work is done on the loop's
thread, since it does not block; how much of it there may be in one turn is conn's to limit.
BenchmarkJudge has the times.

# What looks wrong but is deliberate

  - An upgrade or a POST without Origin is let through, whatever the list.
  - A page's own host in the list counts whatever its scheme and port where only Host
    is known: a proxy in front may have another port.
  - A trusted proxy that leaves its PROXY header or X-Forwarded-For out is refused
    and not taken for a client: all of its clients would share one limit, or none,
    and nobody would notice.
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
