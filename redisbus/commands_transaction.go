package redisbus

import (
	"fmt"

	"github.com/tidwall/redcon"
)

// MULTI and EXEC, which client libraries put around a pipeline by default. Commands are
// checked and kept until EXEC runs them, one after the other, on this peer's turn. That is
// all they mean here: there are no keys, and messages of others may come in between.

// A transaction is what a peer has queued since MULTI.
type transaction struct {
	open   bool
	failed bool // a command was refused, so EXEC runs nothing
	queue  []queuedCommand
	bytes  int
}

type queuedCommand struct {
	cmd  *command
	args [][]byte
}

const (
	errExecAbort   = "EXECABORT Transaction discarded because of previous errors."
	errTransaction = "ERR too much in a transaction, at most %d commands and %d bytes"
)

func transactionCommands() []command {
	return []command{
		{name: "multi", arity: 1, flags: inMulti, group: "transactions", summary: "Starts a transaction.", run: multi},
		{name: "exec", arity: 1, flags: inMulti, group: "transactions", summary: "Executes all commands in a transaction.", run: execMulti},
		{name: "discard", arity: 1, flags: inMulti, group: "transactions", summary: "Discards a transaction.", run: discard},
		{name: "watch", arity: -2, flags: inMulti, group: "transactions", summary: "Monitors keys: there are none.", run: watch},
		{name: "unwatch", arity: 1, group: "transactions", summary: "Forgets about watched keys: there are none.",
			run: func(p *peer, _ [][]byte) { p.ok() }},
	}
}

func multi(p *peer, _ [][]byte) {
	if p.multi.open {
		p.fail("ERR MULTI calls can not be nested")
		return
	}
	p.multi.open = true
	p.ok()
}

func watch(p *peer, _ [][]byte) {
	if p.multi.open {
		p.fail("ERR WATCH inside MULTI is not allowed")
		return
	}
	p.ok()
}

func discard(p *peer, _ [][]byte) {
	if !p.multi.open {
		p.fail("ERR DISCARD without MULTI")
		return
	}
	p.multi = transaction{}
	p.ok()
}

// execMulti runs what is queued. A reply is queued in order, as of any command, and
// messages that come meanwhile stay behind all of them.
func execMulti(p *peer, _ [][]byte) {
	t := p.multi
	p.multi = transaction{}
	switch {
	case !t.open:
		p.fail("ERR EXEC without MULTI")
		return
	case t.failed:
		p.fail(errExecAbort)
		return
	}
	p.settle()
	p.flush() // what comes before is whole
	p.out.beginParts()
	p.replies = redcon.AppendArray(p.reply(), len(t.queue))
	for _, queued := range t.queue {
		p.out.waitRoom()
		queued.cmd.run(p, queued.args)
		if len(p.replies) >= replyFlushBytes {
			p.flush()
		}
	}
	p.settle()
	p.flush()
	p.out.endParts()
}

// enqueue keeps a command for EXEC, and copies its words.
func (p *peer) enqueue(cmd *command, args [][]byte) {
	t := &p.multi
	bytes := 0
	for _, arg := range args {
		bytes += len(arg)
	}
	cost := bytes + len(args)*transactionWordBytes + transactionCommandBytes
	if len(t.queue) == transactionCommandsMax || t.bytes+cost > transactionBytesMax {
		t.queue = nil // it will not run: nothing of it is worth its memory
		p.refuse(fmt.Sprintf(errTransaction, transactionCommandsMax, transactionBytesMax))
		return
	}
	if !t.failed {
		t.bytes += cost
		all := make([]byte, 0, bytes)
		words := make([][]byte, len(args))
		for i, arg := range args {
			start := len(all)
			all = append(all, arg...)
			words[i] = all[start:len(all):len(all)]
		}
		t.queue = append(t.queue, queuedCommand{cmd, words})
	}
	p.replies = redcon.AppendString(p.reply(), "QUEUED")
}

// refuse answers a command that is not run with an error, and lets EXEC fail.
func (p *peer) refuse(text string) {
	if p.multi.open {
		p.multi.failed, p.multi.queue = true, nil
	}
	p.fail(text)
}
