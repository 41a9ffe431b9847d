package redisbus

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"c10m/bus/bustest"
)

// A conversation is what a peer sends and what comes back, as bytes.
type conversation struct {
	name     string
	password string
	send     string
	want     string
	ends     bool // the bus closes the connection behind want
	asRedis  bool // a real Redis answers the same bytes
}

const (
	ok   = "+OK\r\n"
	pong = "+PONG\r\n"

	queued = "+QUEUED\r\n"
)

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func array(kind string, parts ...string) string {
	return fmt.Sprintf("%s%d\r\n%s", kind, len(parts), strings.Join(parts, ""))
}

func confirmed(kind, word, name string, n int) string {
	return array(kind, bulk(word), bulk(name), fmt.Sprintf(":%d\r\n", n))
}

// long is more than replyFlushBytes.
var long = strings.Repeat("y", 20<<10)

// resp3 switches; the reply to HELLO has its own test, as it carries an id.
var conversations = []conversation{
	{name: "ping", send: cmd("PING"), want: pong, asRedis: true},
	{name: "ping, any case", send: cmd("pInG"), want: pong, asRedis: true},
	{name: "ping with a word", send: cmd("PING", "a\r\nb"), want: bulk("a\r\nb"), asRedis: true},
	{name: "ping with too much", send: cmd("PING", "a", "b"), want: "-ERR wrong number of arguments for 'ping' command\r\n", asRedis: true},
	{name: "inline", send: "PING\r\n", want: pong, asRedis: true},
	{name: "inline, LF alone", send: "PING\n", want: pong, asRedis: true},
	{name: "inline with quotes", send: "ECHO \"a b\\n\"\r\n", want: bulk("a b\n"), asRedis: true},
	{name: "inline with escapes", send: "ECHO \"\\x41\\x4g\\\\\\\"\\r\\b\\a\\t\\q\"\r\n", want: bulk("Ax4g\\\"\r\b\a\tq"), asRedis: true},
	{name: "inline with single quotes", send: "ECHO 'a\\'\\n \"b'\r\n", want: bulk("a'\\n \"b"), asRedis: true},
	{name: "inline with a quote in a word", send: "ECHO a\"b c\"\r\n", want: bulk("ab c"), asRedis: true},
	{name: "inline with an empty word, and tabs", send: "\tECHO\t\"\"\r\n", want: bulk(""), asRedis: true},
	{name: "inline, spaces and empty lines", send: "\r\n  \r\n  PING  \r\n\r\n", want: pong, asRedis: true},
	{name: "empty commands", send: "*0\r\n*-1\r\n" + cmd("PING"), want: pong, asRedis: true},
	{name: "echo", send: cmd("ECHO", ""), want: bulk(""), asRedis: true},
	{name: "echo, no word", send: cmd("ECHO"), want: "-ERR wrong number of arguments for 'echo' command\r\n", asRedis: true},
	{name: "unknown", send: cmd("FOO", "a", "b c"), want: "-ERR unknown command 'FOO', with args beginning with: 'a' 'b c' \r\n", asRedis: true},
	{name: "unknown, alone", send: cmd("foo\r\nbar"), want: "-ERR unknown command 'foo  bar', with args beginning with: \r\n", asRedis: true},
	{name: "unknown, long", send: cmd(strings.Repeat("f", 300), strings.Repeat("a", 100), strings.Repeat("b", 100), "c"),
		want: "-ERR unknown command '" + strings.Repeat("f", 128) + "', with args beginning with: '" + strings.Repeat("a", 100) + "' '" + strings.Repeat("b", 25) + "' \r\n", asRedis: true},
	{name: "select", send: cmd("SELECT", "0"), want: ok, asRedis: true},
	{name: "select another", send: cmd("SELECT", "99"), want: "-ERR DB index is out of range\r\n", asRedis: true},
	{name: "select 1", send: cmd("SELECT", "1"), want: "-ERR DB index is out of range\r\n"},
	{name: "select nonsense", send: cmd("SELECT", "x"), want: "-ERR value is not an integer or out of range\r\n", asRedis: true},
	{name: "quit", send: cmd("QUIT") + cmd("PING"), want: ok, ends: true, asRedis: true},
	{name: "reset", send: cmd("CLIENT", "SETNAME", "x") + cmd("RESET") + cmd("CLIENT", "GETNAME"), want: ok + "+RESET\r\n$-1\r\n", asRedis: true},

	{name: "multi", send: cmd("MULTI") + cmd("PUBLISH", "nobody", "x") + cmd("PING") + cmd("ECHO", "a") + cmd("EXEC") + cmd("PING"),
		want: ok + queued + queued + queued + array("*", ":0\r\n", pong, bulk("a")) + pong, asRedis: true},
	{name: "multi, a publish to some", send: cmd("MULTI") + cmd("PUBLISH", "news", "x") + cmd("EXEC"), want: ok + queued + array("*", ":3\r\n")},
	{name: "multi, a message to itself stays behind the reply",
		send: cmd("MULTI") + cmd("SUBSCRIBE", "nobody") + cmd("PUBLISH", "nobody", "x") + strings.Repeat(cmd("ECHO", long), 3) + cmd("EXEC"),
		want: ok + queued + queued + strings.Repeat(queued, 3) + array("*", confirmed("*", "subscribe", "nobody", 1), ":1\r\n", bulk(long), bulk(long), bulk(long)) +
			array("*", bulk("message"), bulk("nobody"), bulk("x"))},
	{name: "multi, empty", send: cmd("MULTI") + cmd("EXEC"), want: ok + "*0\r\n", asRedis: true},
	{name: "multi, nested", send: cmd("MULTI") + cmd("MULTI") + cmd("WATCH", "a") + cmd("PING") + cmd("EXEC"),
		want: ok + "-ERR MULTI calls can not be nested\r\n-ERR WATCH inside MULTI is not allowed\r\n" + queued + array("*", pong), asRedis: true},
	{name: "multi, an unknown command", send: cmd("MULTI") + cmd("PUBLISH", "nobody", "x") + cmd("FOO") + cmd("PING") + cmd("EXEC") + cmd("PING"),
		want: ok + queued + "-ERR unknown command 'FOO', with args beginning with: \r\n" + queued + "-" + errExecAbort + "\r\n" + pong, asRedis: true},
	{name: "multi, an unknown subcommand", send: cmd("MULTI") + cmd("CLIENT", "FOO") + cmd("EXEC"),
		want: ok + "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n-" + errExecAbort + "\r\n", asRedis: true},
	{name: "multi, wrong arguments", send: cmd("MULTI") + cmd("ECHO") + cmd("EXEC"),
		want: ok + "-ERR wrong number of arguments for 'echo' command\r\n-" + errExecAbort + "\r\n", asRedis: true},
	{name: "multi, an error in it", send: cmd("MULTI") + cmd("SELECT", "99") + cmd("PING") + cmd("EXEC"),
		want: ok + queued + queued + array("*", "-ERR DB index is out of range\r\n", pong), asRedis: true},
	{name: "multi, discarded", send: cmd("MULTI") + cmd("PUBLISH", "news", "x") + cmd("DISCARD") + cmd("EXEC"),
		want: ok + queued + ok + "-ERR EXEC without MULTI\r\n", asRedis: true},
	{name: "multi, reset", send: cmd("MULTI") + cmd("PING") + cmd("RESET") + cmd("EXEC"), want: ok + queued + "+RESET\r\n-ERR EXEC without MULTI\r\n", asRedis: true},
	{name: "multi, quit", send: cmd("MULTI") + cmd("PING") + cmd("QUIT"), want: ok + queued + ok, ends: true, asRedis: true},
	{name: "multi, subscribe", send: cmd("MULTI") + cmd("SUBSCRIBE", "a") + cmd("PING") + cmd("EXEC") + cmd("UNSUBSCRIBE", "a"),
		want: ok + queued + queued + array("*", confirmed("*", "subscribe", "a", 1), array("*", bulk("pong"), bulk(""))) + confirmed("*", "unsubscribe", "a", 0), asRedis: true},
	{name: "no multi", send: cmd("EXEC") + cmd("DISCARD") + cmd("WATCH", "a") + cmd("UNWATCH") + cmd("WATCH") + cmd("MULTI", "x"),
		want: "-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n" + ok + ok + "-ERR wrong number of arguments for 'watch' command\r\n-ERR wrong number of arguments for 'multi' command\r\n", asRedis: true},
	{name: "tracking", send: cmd("CLIENT", "TRACKING", "ON") + cmd("CLIENT", "TRACKING", "OFF") + cmd("CLIENT", "TRACKING", "maybe") + cmd("CLIENT", "CACHING", "YES") + cmd("CLIENT", "TRACKING"),
		want: ok + ok + "-ERR syntax error\r\n-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled\r\n-ERR wrong number of arguments for 'client|tracking' command\r\n", asRedis: true},
	{name: "tracking, switched", send: cmd("CLIENT", "GETREDIR") + cmd("CLIENT", "TRACKING", "ON", "OPTIN") + cmd("CLIENT", "GETREDIR") + cmd("CLIENT", "TRACKING", "ON", "BCAST") + cmd("CLIENT", "TRACKING", "ON", "OPTOUT") +
		cmd("CLIENT", "TRACKING", "OFF") + cmd("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "a", "NOLOOP") + cmd("CLIENT", "TRACKING", "ON", "BCAST", "OPTIN") + cmd("CLIENT", "TRACKING", "OFF") + cmd("CLIENT", "GETREDIR"),
		want: ":-1\r\n" + ok + ":0\r\n-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.\r\n" +
			"-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.\r\n" + ok + ok +
			"-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n" + ok + ":-1\r\n", asRedis: true},
	{name: "tracking that is refused", send: cmd("CLIENT", "TRACKING", "ON", "PREFIX", "a") + cmd("CLIENT", "TRACKING", "ON", "REDIRECT", "99999") + cmd("CLIENT", "TRACKING", "ON", "REDIRECT", "x") + cmd("CLIENT", "TRACKING", "ON", "REDIRECT") +
		cmd("CLIENT", "TRACKING", "ON", "OPTIN", "OPTOUT") + cmd("CLIENT", "TRACKING", "ON", "BCAST", "OPTIN") + cmd("CLIENT", "GETREDIR"),
		want: "-ERR PREFIX option requires BCAST mode to be enabled\r\n-ERR The client ID you want redirect to does not exist\r\n-ERR value is not an integer or out of range\r\n-ERR syntax error\r\n" +
			"-ERR You can't specify both OPTIN mode and OPTOUT mode\r\n-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n:-1\r\n", asRedis: true},
	{name: "no cluster", send: cmd("READONLY") + cmd("READWRITE") + cmd("ASKING") + cmd("CLUSTER", "INFO") + cmd("CLUSTER", "SLOTS") + cmd("cluster", "shards") + cmd("CLUSTER", "FOO") + cmd("CLUSTER"),
		want: strings.Repeat("-ERR This instance has cluster support disabled\r\n", 6) + "-ERR unknown subcommand 'FOO'. Try CLUSTER HELP.\r\n-ERR wrong number of arguments for 'cluster' command\r\n", asRedis: true},
	{name: "tracking, opt in", send: cmd("CLIENT", "TRACKING", "ON", "OPTIN") + cmd("CLIENT", "CACHING", "YES") + cmd("CLIENT", "CACHING", "NO") + cmd("CLIENT", "TRACKING", "ON", "FOO"),
		want: ok + ok + "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.\r\n-ERR syntax error\r\n"},
	{name: "role", send: cmd("ROLE"), want: array("*", bulk("master"), ":0\r\n", "*0\r\n"), asRedis: true},
	{name: "a TLS hello with a command in it", send: "\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\r\nPUBLISH news x\r\n", want: "-ERR Protocol error: a NUL in an inline request\r\n", ends: true},
	{name: "a NUL behind a command", send: "PING\r\nPUBLISH news x\x00\r\nPUBLISH news x\r\n", want: pong + "-ERR Protocol error: a NUL in an inline request\r\n", ends: true},
	{name: "guesses", password: "pw", send: strings.Repeat(cmd("AUTH", "x"), authFailuresMax) + cmd("AUTH", "pw") + cmd("PUBLISH", "news", "x"),
		want: strings.Repeat("-"+errWrongPass+"\r\n", authFailuresMax), ends: true},

	{name: "publish", send: cmd("PUBLISH", "news", "hello"), want: ":3\r\n"},
	{name: "publish to nobody", send: cmd("PUBLISH", "nobody", "hello"), want: ":0\r\n", asRedis: true},
	{name: "publish, no message", send: cmd("PUBLISH", "news"), want: "-ERR wrong number of arguments for 'publish' command\r\n", asRedis: true},
	{name: "publish, too big", send: cmd("PUBLISH", "news", strings.Repeat("x", bustest.PayloadBytesMax+1)) + cmd("PING"),
		want: "-ERR the payload has 1048577 bytes, and the limit is 1048576\r\n" + pong},
	{name: "publish, reserved", send: cmd("PUBLISH", "-/x", "hello"), want: ":0\r\n", asRedis: true},
	{name: "spublish", send: cmd("SPUBLISH", "news", "hello"), want: ":3\r\n"},
	{name: "pipeline", send: cmd("PUBLISH", "news", "1") + cmd("PING") + cmd("PUBLISH", "nobody", "2") + cmd("PUBLISH", "one", "3"),
		want: ":3\r\n" + pong + ":0\r\n:1\r\n"},

	{name: "replies come before a confirmation", send: cmd("PUBLISH", "nobody", "1") + cmd("PING") + cmd("SUBSCRIBE", "a") + cmd("PING"),
		want: ":0\r\n" + pong + confirmed("*", "subscribe", "a", 1) + array("*", bulk("pong"), bulk("")), asRedis: true},
	{name: "replies come before an unsubscription", send: cmd("PUBLISH", "nobody", "1") + cmd("PING") + cmd("UNSUBSCRIBE", "a") + cmd("PING"),
		want: ":0\r\n" + pong + confirmed("*", "unsubscribe", "a", 0) + pong, asRedis: true},
	{name: "replies come before a reset", send: cmd("PUBLISH", "nobody", "1") + cmd("PING") + cmd("RESET"), want: ":0\r\n" + pong + "+RESET\r\n", asRedis: true},

	{name: "subscribe", send: cmd("SUBSCRIBE", "a", "b", "a"), want: confirmed("*", "subscribe", "a", 1) + confirmed("*", "subscribe", "b", 2) + confirmed("*", "subscribe", "a", 2), asRedis: true},
	{name: "subscribe, nothing", send: cmd("SUBSCRIBE"), want: "-ERR wrong number of arguments for 'subscribe' command\r\n", asRedis: true},
	{name: "psubscribe", send: cmd("SUBSCRIBE", "a") + cmd("PSUBSCRIBE", "a*"), want: confirmed("*", "subscribe", "a", 1) + confirmed("*", "psubscribe", "a*", 2), asRedis: true},
	{name: "ssubscribe", send: cmd("SUBSCRIBE", "a") + cmd("SSUBSCRIBE", "a"), want: confirmed("*", "subscribe", "a", 1) + confirmed("*", "ssubscribe", "a", 1), asRedis: true},
	{name: "unsubscribe", send: cmd("SUBSCRIBE", "a", "b") + cmd("UNSUBSCRIBE", "a", "c") + cmd("UNSUBSCRIBE") + cmd("UNSUBSCRIBE"),
		want: confirmed("*", "subscribe", "a", 1) + confirmed("*", "subscribe", "b", 2) + confirmed("*", "unsubscribe", "a", 1) + confirmed("*", "unsubscribe", "c", 1) +
			confirmed("*", "unsubscribe", "b", 0) + "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n", asRedis: true},
	{name: "punsubscribe", send: cmd("PSUBSCRIBE", "a*") + cmd("PUNSUBSCRIBE") + cmd("PUNSUBSCRIBE", "x"),
		want: confirmed("*", "psubscribe", "a*", 1) + confirmed("*", "punsubscribe", "a*", 0) + confirmed("*", "punsubscribe", "x", 0), asRedis: true},
	{name: "sunsubscribe", send: cmd("SSUBSCRIBE", "a") + cmd("SUNSUBSCRIBE"),
		want: confirmed("*", "ssubscribe", "a", 1) + confirmed("*", "sunsubscribe", "a", 0), asRedis: true},
	{name: "subscribed mode, RESP2", send: cmd("SUBSCRIBE", "a") + cmd("PING") + cmd("PING", "x") + cmd("ECHO", "x") + cmd("PUBLISH", "a", "x") + cmd("CLIENT", "ID") + cmd("UNSUBSCRIBE") + cmd("PING"),
		want: confirmed("*", "subscribe", "a", 1) + array("*", bulk("pong"), bulk("")) + array("*", bulk("pong"), bulk("x")) +
			refused("echo") + refused("publish") + refused("client|id") + confirmed("*", "unsubscribe", "a", 0) + pong, asRedis: true},
	{name: "subscribed mode, reset", send: cmd("SUBSCRIBE", "a") + cmd("RESET") + cmd("ECHO", "x"), want: confirmed("*", "subscribe", "a", 1) + "+RESET\r\n" + bulk("x"), asRedis: true},
	{name: "subscribed mode, quit", send: cmd("SUBSCRIBE", "a") + cmd("QUIT"), want: confirmed("*", "subscribe", "a", 1) + ok, ends: true, asRedis: true},
	{name: "a pattern too long", send: cmd("PSUBSCRIBE", strings.Repeat("*", subscriptionBytesMax+1)), want: "-ERR a channel or pattern to subscribe to has at most 1024 bytes\r\n"},
	{name: "too many patterns", send: cmd(append([]string{"PSUBSCRIBE"}, many(patternsMax+1)...)...), want: "-ERR too many subscriptions of this connection, at most 256 of this kind\r\n"},
	{name: "too many channels", send: cmd(append([]string{"SSUBSCRIBE"}, many(subscriptionsMax+1)...)...), want: "-ERR too many subscriptions of this connection, at most 16384 of this kind\r\n"},

	{name: "pubsub channels", send: cmd("PUBSUB", "CHANNELS", "n*"), want: array("*", bulk("news"))},
	{name: "pubsub channels, none", send: cmd("PUBSUB", "CHANNELS", "nobody*"), want: "*0\r\n", asRedis: true},
	{name: "pubsub numsub", send: cmd("PUBSUB", "NUMSUB", "news", "nobody"), want: array("*", bulk("news"), ":3\r\n", bulk("nobody"), ":0\r\n")},
	{name: "pubsub numsub, none", send: cmd("PUBSUB", "NUMSUB"), want: "*0\r\n", asRedis: true},
	{name: "pubsub numpat", send: cmd("PUBSUB", "NUMPAT"), want: ":0\r\n", asRedis: true},
	{name: "pubsub shardchannels", send: cmd("PUBSUB", "SHARDCHANNELS"), want: "*0\r\n", asRedis: true},
	{name: "pubsub shardnumsub", send: cmd("PUBSUB", "SHARDNUMSUB", "a"), want: array("*", bulk("a"), ":0\r\n"), asRedis: true},
	{name: "pubsub alone", send: cmd("PUBSUB"), want: "-ERR wrong number of arguments for 'pubsub' command\r\n", asRedis: true},
	{name: "pubsub unknown", send: cmd("PUBSUB", "FOO"), want: "-ERR unknown subcommand 'FOO'. Try PUBSUB HELP.\r\n", asRedis: true},
	{name: "pubsub numpat with more", send: cmd("PUBSUB", "NUMPAT", "x"), want: "-ERR wrong number of arguments for 'pubsub|numpat' command\r\n", asRedis: true},

	{name: "client name", send: cmd("CLIENT", "GETNAME") + cmd("CLIENT", "SETNAME", "me") + cmd("client", "getname"), want: "$-1\r\n" + ok + bulk("me"), asRedis: true},
	{name: "client name, bad", send: cmd("CLIENT", "SETNAME", "a b"), want: "-" + errName + "\r\n", asRedis: true},
	{name: "client setinfo", send: cmd("CLIENT", "SETINFO", "LIB-NAME", "x") + cmd("CLIENT", "SETINFO", "lib-ver", "1"), want: ok + ok},
	{name: "client setinfo, unknown", send: cmd("CLIENT", "SETINFO", "FOO", "x"), want: "-ERR Unrecognized option 'foo'\r\n"},
	{name: "client no-evict", send: cmd("CLIENT", "NO-EVICT", "on"), want: ok, asRedis: true},
	{name: "client no-evict, bad", send: cmd("CLIENT", "NO-EVICT", "maybe"), want: "-ERR syntax error\r\n", asRedis: true},
	{name: "client unknown", send: cmd("CLIENT", "FOO"), want: "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n", asRedis: true},
	{name: "client setname, alone", send: cmd("CLIENT", "SETNAME"), want: "-ERR wrong number of arguments for 'client|setname' command\r\n", asRedis: true},
	{name: "client list, bad type", send: cmd("CLIENT", "LIST", "TYPE", "x"), want: "-ERR Unknown client type 'x'\r\n", asRedis: true},
	{name: "client list, bad id", send: cmd("CLIENT", "LIST", "ID", "x"), want: "-ERR Invalid client ID\r\n", asRedis: true},
	{name: "client list, type replica", send: cmd("CLIENT", "LIST", "TYPE", "replica"), want: "$0\r\n\r\n", asRedis: true},

	{name: "command info, unknown", send: cmd("COMMAND", "INFO", "nope"), want: "*1\r\n$-1\r\n", asRedis: true},
	{name: "command docs, unknown", send: cmd("COMMAND", "DOCS", "nope"), want: "*0\r\n", asRedis: true},
	{name: "command unknown", send: cmd("COMMAND", "FOO"), want: "-ERR unknown subcommand 'FOO'. Try COMMAND HELP.\r\n", asRedis: true},
	{name: "info, unknown section", send: cmd("INFO", "nope"), want: "$0\r\n\r\n", asRedis: true},

	{name: "hello, version", send: cmd("HELLO", "4"), want: "-NOPROTO unsupported protocol version\r\n", asRedis: true},
	{name: "hello, nonsense", send: cmd("HELLO", "x"), want: "-ERR Protocol version is not an integer or out of range\r\n", asRedis: true},
	{name: "hello, option", send: cmd("HELLO", "3", "FOO"), want: "-ERR Syntax error in HELLO option 'FOO'\r\n", asRedis: true},
	{name: "hello, half an AUTH", send: cmd("HELLO", "3", "AUTH", "default"), want: "-ERR Syntax error in HELLO option 'AUTH'\r\n", asRedis: true},
	{name: "hello, bad user", send: cmd("HELLO", "3", "AUTH", "x", "y"), want: "-" + errWrongPass + "\r\n", asRedis: true},
	{name: "hello, bad name", send: cmd("HELLO", "3", "SETNAME", "a b"), want: "-" + errName + "\r\n", asRedis: true},

	{name: "auth without a password set", send: cmd("AUTH", "x"), want: "-" + errNoPass + "\r\n", asRedis: true},
	{name: "auth default without a password set", send: cmd("AUTH", "default", "x"), want: ok, asRedis: true},
	{name: "auth another user", send: cmd("AUTH", "x", "y"), want: "-" + errWrongPass + "\r\n", asRedis: true},
	{name: "auth, too much", send: cmd("AUTH", "x", "y", "z"), want: "-ERR syntax error\r\n", asRedis: true},
	{name: "noauth", password: "pw", send: cmd("PING") + cmd("PUBLISH", "a", "b") + cmd("CLIENT", "ID") + cmd("SUBSCRIBE", "a"),
		want: strings.Repeat("-NOAUTH Authentication required.\r\n", 4), asRedis: true},
	{name: "noauth, unknown command", password: "pw", send: cmd("FOO"), want: "-NOAUTH Authentication required.\r\n"},
	{name: "noauth, hello", password: "pw", send: cmd("HELLO", "3"), want: "-" + errHelloAuth + "\r\n"},
	{name: "noauth, quit", password: "pw", send: cmd("QUIT"), want: ok, ends: true, asRedis: true},
	{name: "auth, wrong", password: "pw", send: cmd("AUTH", "pw2") + cmd("AUTH", "p") + cmd("PING"), want: strings.Repeat("-"+errWrongPass+"\r\n", 2) + "-NOAUTH Authentication required.\r\n", asRedis: true},
	{name: "auth", password: "pw", send: cmd("AUTH", "pw") + cmd("PING"), want: ok + pong, asRedis: true},
	{name: "auth default", password: "pw", send: cmd("AUTH", "default", "pw") + cmd("PING"), want: ok + pong, asRedis: true},
	{name: "auth, a wrong one keeps what was", password: "pw", send: cmd("AUTH", "pw") + cmd("AUTH", "x") + cmd("PING"), want: ok + "-" + errWrongPass + "\r\n" + pong, asRedis: true},
	{name: "reset asks for the password again", password: "pw", send: cmd("AUTH", "pw") + cmd("RESET") + cmd("PING"), want: ok + "+RESET\r\n-NOAUTH Authentication required.\r\n", asRedis: true},

	{name: "rubbish: not a bulk string", send: "*1\r\n:1\r\n", want: "-ERR Protocol error: expected '$', got ':'\r\n", ends: true, asRedis: true},
	{name: "rubbish: count", send: "*x\r\n", want: "-ERR Protocol error: invalid multibulk length\r\n", ends: true, asRedis: true},
	{name: "rubbish: huge count", send: "*99999999999\r\n", want: "-ERR Protocol error: invalid multibulk length\r\n", ends: true, asRedis: true},
	{name: "rubbish: many arguments", send: fmt.Sprintf("*%d\r\n", commandArgsMax+1), want: "-ERR Protocol error: invalid multibulk length\r\n", ends: true},
	{name: "rubbish: negative length", send: "*1\r\n$-2\r\n", want: "-ERR Protocol error: invalid bulk length\r\n", ends: true, asRedis: true},
	{name: "rubbish: the largest length", send: "*1\r\n$9223372036854775807\r\n", want: "-ERR Protocol error: invalid bulk length\r\n", ends: true, asRedis: true},
	{name: "rubbish: a large command", send: fmt.Sprintf("*2\r\n$4\r\nECHO\r\n$%d\r\n", commandBytesMax-10), want: "-ERR Protocol error: too big command\r\n", ends: true},
	{name: "rubbish: a long header", send: "*1\r\n$" + strings.Repeat("0", headerBytesMax), want: "-ERR Protocol error: too big count string\r\n", ends: true},
	{name: "rubbish: a bare LF", send: "*1\n$4\nPING\n", want: "-ERR Protocol error: expected CRLF behind a count\r\n", ends: true},
	{name: "rubbish: a longer string", send: "*1\r\n$4\r\nPINGXX", want: "-ERR Protocol error: expected CRLF behind a bulk string\r\n", ends: true},
	{name: "rubbish: quotes", send: "ECHO \"a\r\n", want: "-ERR Protocol error: unbalanced quotes in request\r\n", ends: true, asRedis: true},
	{name: "rubbish: a word behind a quote", send: "ECHO \"a\"b\r\n", want: "-ERR Protocol error: unbalanced quotes in request\r\n", ends: true, asRedis: true},
	{name: "rubbish: an escape at the end", send: "ECHO \"a\\\r\n", want: "-ERR Protocol error: unbalanced quotes in request\r\n", ends: true, asRedis: true},
	{name: "rubbish: a long line", send: strings.Repeat("x", inlineBytesMax+1), want: "-ERR Protocol error: too big inline request\r\n", ends: true},
	{name: "rubbish: Tile38", send: "$4 PING\r\n", want: "-ERR Protocol error: expected '*', got '$'\r\n", ends: true},
	{name: "rubbish behind a command", send: cmd("PUBLISH", "news", "x") + "*1\r\nfoo", want: ":3\r\n-ERR Protocol error: expected '$', got 'f'\r\n", ends: true},
	{name: "rubbish before auth: arguments", password: "pw", send: "*11\r\n", want: "-ERR Protocol error: unauthenticated multibulk length\r\n", ends: true, asRedis: true},
	{name: "rubbish before auth: bytes", password: "pw", send: "*1\r\n$16385\r\n", want: "-ERR Protocol error: unauthenticated bulk length\r\n", ends: true, asRedis: true},
	{name: "a browser", send: "POST / HTTP/1.1\r\nHost: 127.0.0.1:6379\r\n\r\nPUBLISH news x\r\n", want: "", ends: true},
	{name: "a browser, GET", send: "GET / HTTP/1.1\r\nHost: 127.0.0.1:6379\r\n\r\nPUBLISH news x\r\n", want: "-ERR unknown command 'GET', with args beginning with: '/' 'HTTP/1.1' \r\n", ends: true},
}

func refused(name string) string {
	return "-ERR Can't execute '" + name + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n"
}

func many(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
	}
	return names
}

func testDoor() *fakeDoor { return newDoor(map[string]int{"news": 3, "one": 1}) }

func (c *conversation) check(t *testing.T, addr string, pieces ...string) {
	t.Helper()
	r := dialRaw(t, addr)
	defer r.Close()
	for _, piece := range pieces {
		if len(piece) > 64<<10 {
			go r.Write([]byte(piece)) // more than the socket holds, while we read
			continue
		}
		if _, err := r.Write([]byte(piece)); err != nil {
			break // the bus may have closed on an earlier piece
		}
	}
	if c.ends {
		r.expectEnd(c.want)
		return
	}
	r.expect(c.want)
	// Nothing else came: the next reply is that of a sentinel.
	r.send(cmd("RESET"))
	r.expect("+RESET\r\n")
}

func TestConversations(t *testing.T) {
	buses := map[string]string{}
	for _, password := range []string{"", "pw"} {
		buses[password] = startEmbedded(t, testDoor(), password).Addr().String()
	}
	for _, c := range conversations {
		t.Run(c.name, func(t *testing.T) { c.check(t, buses[c.password], c.send) })
	}
}

// TestConversationsAsRedis asks a real Redis the same, so that the table is not
// only our belief.
func TestConversationsAsRedis(t *testing.T) {
	servers := map[string]string{
		"":   startRedis(t).addr,
		"pw": startRedis(t, "--requirepass", "pw").addr,
	}
	for _, c := range conversations {
		if c.asRedis {
			t.Run(c.name, func(t *testing.T) { c.check(t, servers[c.password], c.send) })
		}
	}
}

// TestEverySplit cuts each conversation at every byte. The pieces go through
// net.Pipe, which keeps them apart.
func TestEverySplit(t *testing.T) {
	for _, c := range conversations {
		if len(c.send) > 2000 {
			continue
		}
		b := newEmbedded(EmbeddedConfig{Password: c.password}, testDoor(), nopLog)
		b.authDelay = 0
		want := c.want
		if !c.ends {
			want += ok // of the QUIT that talk adds
		}
		for cut := 1; cut < len(c.send); cut++ {
			got := talk(t, b, c.send[:cut], c.send[cut:])
			if got != want {
				t.Fatalf("%s, cut at %d: got %q, want %q", c.name, cut, got, want)
			}
		}
		var bytes []string
		for i := range c.send {
			bytes = append(bytes, c.send[i:i+1])
		}
		if got := talk(t, b, bytes...); got != want {
			t.Fatalf("%s, byte by byte: got %q, want %q", c.name, got, want)
		}
	}
}

// talk serves one peer over a pipe, says QUIT behind the last piece, and returns
// all that it answers.
func talk(t testing.TB, b *Embedded, pieces ...string) string {
	t.Helper()
	ours, theirs := net.Pipe()
	_ = theirs.SetDeadline(time.Now().Add(hang))
	b.admit(ours)
	var answer strings.Builder
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := theirs.Read(buf)
			answer.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	for _, piece := range pieces {
		if _, err := theirs.Write([]byte(piece)); err != nil {
			break
		}
	}
	// A pipe has no half-close: QUIT ends it, behind all replies.
	_, _ = theirs.Write([]byte("\r\n" + cmd("QUIT")))
	<-read
	_ = theirs.Close()
	return answer.String()
}
