package redisbus

import (
	"bytes"
	"strings"

	"github.com/tidwall/redcon"
)

// A command of the embedded bus. The arity is Redis's: how many words, its own
// included, and negative for at least that many.
type command struct {
	name    string // as in "client|setname" for a subcommand
	arity   int
	flags   uint8
	group   string
	summary string
	run     func(p *peer, args [][]byte)
	subs    map[string]*command
}

const (
	beforeAuth   = 1 << iota // answered to a peer that has not given the password
	inSubscribed             // allowed in subscribed mode under RESP2
	inMulti                  // executed at once between MULTI and EXEC
	atLoops                  // a loop may do it, to which its peer is lent
)

// commands is filled by init, because COMMAND describes the table it is in.
var commands map[string]*command

func init() {
	commands = make(map[string]*command)
	for _, list := range [][]command{pubsubCommands(), connectionCommands(), serverCommands(), transactionCommands()} {
		for i := range list {
			commands[list[i].name] = &list[i]
		}
	}
}

// subcommands makes the table of a command that has them.
func subcommands(parent string, list ...command) map[string]*command {
	table := make(map[string]*command, len(list))
	for i := range list {
		table[list[i].name] = &list[i]
		list[i].name = parent + "|" + list[i].name
	}
	return table
}

// execute runs one command. Its reply is queued in order, though perhaps later:
// see settle.
func (p *peer) execute(args [][]byte) {
	p.bus.count.commands.Add(1)
	p.active.Store(nowUnix())
	cmd := lookup(commands, args[0])
	if cmd != nil && cmd.subs != nil && len(args) > 1 {
		sub := lookup(cmd.subs, args[1])
		if sub == nil && p.authed {
			p.refuse("ERR unknown subcommand '" + printable(args[1], errorArgsBytesMax) + "'. Try " +
				strings.ToUpper(cmd.name) + " HELP.")
			return
		}
		if sub != nil {
			cmd = sub
		}
	}
	switch {
	case !p.authed && (cmd == nil || cmd.flags&beforeAuth == 0):
		p.refuse("NOAUTH Authentication required.")
	case cmd == nil:
		p.refuse(unknownCommand(args))
	case len(args) < cmd.arity || len(args) < -cmd.arity || cmd.arity > 0 && len(args) > cmd.arity:
		p.refuse("ERR wrong number of arguments for '" + cmd.name + "' command")
	case cmd.flags&inSubscribed == 0 && !p.out.resp3 && p.subscribed():
		p.refuse("ERR Can't execute '" + cmd.name + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
	case p.multi.open && cmd.flags&inMulti == 0:
		p.enqueue(cmd, args)
	default:
		cmd.run(p, args)
	}
	if p.inARow++; cmd == nil || cmd.flags&atLoops == 0 {
		p.inARow = 0
	}
	if len(p.replies) >= replyFlushBytes {
		p.flush()
	}
}

// lookup finds a command whatever its case, without an allocation.
func lookup(table map[string]*command, word []byte) *command {
	var lower [commandNameBytesMax]byte
	if len(word) > len(lower) {
		return nil
	}
	for i, c := range word {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return table[string(lower[:len(word)])]
}

// reply settles what is under way and returns the buffer to append to. Every
// command but PUBLISH begins its reply with it.
func (p *peer) reply() []byte {
	p.settle()
	return p.replies
}

func (p *peer) fail(text string) { p.replies = redcon.AppendError(p.reply(), text) }

func (p *peer) ok() { p.replies = redcon.AppendOK(p.reply()) }

// unknownCommand words it as Redis 7 does.
func unknownCommand(args [][]byte) string {
	text := "ERR unknown command '" + printable(args[0], errorArgsBytesMax) + "', with args beginning with: "
	left := errorArgsBytesMax
	for _, arg := range args[1:] {
		if left <= 0 {
			break
		}
		word := "'" + printable(arg, left) + "' "
		text, left = text+word, left-len(word)
	}
	return text
}

// printable cuts a peer's word for an error text. redcon replaces CR and LF.
func printable(word []byte, limit int) string {
	if nul := bytes.IndexByte(word, 0); nul >= 0 {
		word = word[:nul] // as C does, in Redis
	}
	return string(word[:min(len(word), limit)])
}

func equalFold(word []byte, s string) bool {
	return len(word) == len(s) && strings.EqualFold(string(word), s)
}
