package redisbus

import (
	"strconv"
	"time"

	"github.com/tidwall/redcon"
)

func nowUnix() int64 { return time.Now().Unix() }

const (
	errWrongPass = "WRONGPASS invalid username-password pair or user is disabled."
	errNoPass    = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
	errHelloAuth = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
	errName      = "ERR Client names cannot contain spaces, newlines or special characters."
	errSyntax    = "ERR syntax error"
)

func connectionCommands() []command {
	return []command{
		{name: "ping", arity: -1, flags: inSubscribed, group: "connection", summary: "Returns the server's liveliness response.", run: ping},
		{name: "echo", arity: 2, group: "connection", summary: "Returns the given string.",
			run: func(p *peer, args [][]byte) { p.replies = redcon.AppendBulk(p.reply(), args[1]) }},
		{name: "hello", arity: -1, flags: beforeAuth, group: "connection", summary: "Handshakes with the server.", run: hello},
		{name: "auth", arity: -2, flags: beforeAuth, group: "connection", summary: "Authenticates the connection.", run: auth},
		{name: "select", arity: 2, group: "connection", summary: "Changes the selected database: there is only 0.", run: selectDB},
		{name: "reset", arity: 1, flags: beforeAuth | inSubscribed | inMulti, group: "connection", summary: "Resets the connection.", run: reset},
		{name: "quit", arity: -1, flags: beforeAuth | inSubscribed | inMulti, group: "connection", summary: "Closes the connection.",
			run: func(p *peer, _ [][]byte) { p.ok(); p.quit = true }},
		{name: "client", arity: -2, group: "connection", summary: "A container for client connection commands.", subs: clientCommands()},
	}
}

// ping in subscribed mode under RESP2 answers with an array, so that it can be
// told from a message.
func ping(p *peer, args [][]byte) {
	if len(args) > 2 {
		p.fail("ERR wrong number of arguments for 'ping' command")
		return
	}
	b := p.reply()
	var word []byte
	if len(args) == 2 {
		word = args[1]
	}
	switch {
	case !p.out.resp3 && p.subscribed():
		b = redcon.AppendBulk(appendWords(redcon.AppendArray(b, 2), "pong"), word)
	case len(args) == 2:
		b = redcon.AppendBulk(b, word)
	default:
		b = redcon.AppendString(b, "PONG")
	}
	p.replies = b
}

// login tries a user and a password. As in Redis, the user "default" without a
// password takes any.
func (p *peer) login(user string, password []byte) bool {
	good := !p.bus.password.IsSet() || p.bus.password.Is(password)
	if user != "default" || !good {
		p.bus.count.authFailures.Add(1)
		p.wrong++
		time.Sleep(p.bus.authDelay) // of this peer's own goroutine: guessing takes time
		return false
	}
	p.authenticated()
	return true
}

func auth(p *peer, args [][]byte) {
	user, password := "default", args[len(args)-1]
	switch {
	case len(args) > 3:
		p.fail(errSyntax)
		return
	case len(args) == 3:
		user = string(args[1])
	case !p.bus.password.IsSet():
		p.fail(errNoPass)
		return
	}
	if !p.login(user, password) {
		p.fail(errWrongPass)
		return
	}
	p.ok()
}

// hello executes HELLO [version [AUTH user password] [SETNAME name]]: all of it
// or nothing.
func hello(p *peer, args [][]byte) {
	resp3 := p.out.resp3
	if len(args) > 1 {
		version, err := strconv.ParseInt(string(args[1]), 10, 64)
		if err != nil {
			p.fail("ERR Protocol version is not an integer or out of range")
			return
		}
		if version != 2 && version != 3 {
			p.fail("NOPROTO unsupported protocol version")
			return
		}
		resp3 = version == 3
	}
	var user, password, name []byte
	for rest := args[min(len(args), 2):]; len(rest) > 0; {
		switch {
		case equalFold(rest[0], "auth") && len(rest) >= 3:
			user, password, rest = rest[1], rest[2], rest[3:]
		case equalFold(rest[0], "setname") && len(rest) >= 2:
			name, rest = rest[1], rest[2:]
			if !validName(name) {
				p.fail(errName)
				return
			}
		default:
			p.fail("ERR Syntax error in HELLO option '" + printable(rest[0], errorArgsBytesMax) + "'")
			return
		}
	}
	if user != nil && !p.login(string(user), password) {
		p.fail(errWrongPass)
		return
	}
	if !p.authed {
		p.fail(errHelloAuth)
		return
	}
	if name != nil {
		p.setName(name)
	}
	p.settle()
	p.flush() // what came before is answered in the old protocol
	p.out.hello(helloReply(p.scratch[:0], resp3, p.id), resp3)
}

func helloReply(b []byte, resp3 bool, id int64) []byte {
	version := int64(2)
	if resp3 {
		version = 3
	}
	b = appendWords(appendMap(b, resp3, 7), "server", serverName, "version", redisVersion, "proto")
	b = redcon.AppendInt(b, version)
	b = redcon.AppendInt(appendWords(b, "id"), id)
	return redcon.AppendArray(appendWords(b, "mode", "standalone", "role", "master", "modules"), 0)
}

func selectDB(p *peer, args [][]byte) {
	db, err := strconv.ParseInt(string(args[1]), 10, 32)
	switch {
	case err != nil:
		p.fail("ERR value is not an integer or out of range")
	case db != 0:
		p.fail("ERR DB index is out of range")
	default:
		p.ok()
	}
}

// reset brings the connection back to what it was when it came.
func reset(p *peer, _ [][]byte) {
	p.settle()
	p.flush()
	p.bus.registry.clear(p)
	p.setName(nil)
	p.multi, p.tracking, p.redirect = transaction{}, trackingOff, 0
	p.authed = !p.bus.password.IsSet()
	p.out.hello(redcon.AppendString(p.scratch[:0], "RESET"), false)
}
