package redisbus

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"c10m/bus"

	"github.com/tidwall/redcon"
)

// redisVersion is the Redis whose behaviour and words this bus follows. Clients
// decide by it what to send.
const redisVersion = "7.0.0"

func serverCommands() []command {
	return []command{
		{name: "command", arity: -1, group: "server", summary: "Returns detailed information about all commands.",
			run: commandAll, subs: subcommands("command",
				command{name: "count", arity: 2, run: func(p *peer, _ [][]byte) { p.replies = redcon.AppendInt(p.reply(), int64(len(commands))) }},
				command{name: "docs", arity: -2, run: commandDocs},
				command{name: "info", arity: -2, run: commandInfo},
				command{name: "list", arity: 2, run: func(p *peer, _ [][]byte) { p.appendNames(commandNames()) }},
				command{name: "help", arity: 2, run: help("COMMAND", "(no subcommand)", "COUNT", "DOCS [<command-name> ...]", "INFO [<command-name> ...]", "LIST")},
			)},
		{name: "role", arity: 1, group: "server", summary: "Returns the replication role: master, without replicas.", run: func(p *peer, _ [][]byte) {
			p.replies = append(p.reply(), "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"...)
		}},
		{name: "readonly", arity: 1, group: "cluster", summary: "Is for members of a cluster.", run: noCluster},
		{name: "readwrite", arity: 1, group: "cluster", summary: "Is for members of a cluster.", run: noCluster},
		{name: "asking", arity: 1, group: "cluster", summary: "Is for members of a cluster.", run: noCluster},
		{name: "cluster", arity: -2, group: "cluster", summary: "Is for members of a cluster.", subs: subcommands("cluster",
			command{name: "info", arity: 2, run: noCluster},
			command{name: "nodes", arity: 2, run: noCluster},
			command{name: "slots", arity: 2, run: noCluster},
			command{name: "shards", arity: 2, run: noCluster},
			command{name: "myid", arity: 2, run: noCluster},
			command{name: "keyslot", arity: 3, run: noCluster},
			command{name: "help", arity: 2, run: help("CLUSTER", "INFO", "NODES", "SLOTS", "SHARDS", "MYID", "KEYSLOT <key>")},
		)},
		{name: "info", arity: -1, group: "server", summary: "Returns information and statistics about the server.", run: info},
	}
}

// noCluster answers what clients ask to find out whether they talk to a cluster.
func noCluster(p *peer, _ [][]byte) { p.fail("ERR This instance has cluster support disabled") }

// help answers <COMMAND> HELP.
func help(name string, lines ...string) func(*peer, [][]byte) {
	return func(p *peer, _ [][]byte) {
		b := redcon.AppendArray(p.reply(), len(lines)+1)
		b = redcon.AppendString(b, name+" <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
		for _, line := range lines {
			b = redcon.AppendString(b, line)
		}
		p.replies = b
	}
}

func commandNames() []string { return slices.Sorted(maps.Keys(commands)) }

// commandAll executes COMMAND without a subcommand.
func commandAll(p *peer, _ [][]byte) { p.appendCommands(commandNames()) }

func commandInfo(p *peer, args [][]byte) {
	names := commandNames()
	if len(args) > 2 {
		names = names[:0]
		for _, arg := range args[2:] {
			names = append(names, string(arg))
		}
	}
	p.appendCommands(names)
}

// appendCommands describes commands as COMMAND does: name, arity, flags, the
// positions of keys, ACL categories, tips, key specifications, subcommands. No
// command here has a key.
func (p *peer) appendCommands(names []string) {
	b := redcon.AppendArray(p.reply(), len(names))
	for _, name := range names {
		cmd := lookup(commands, []byte(name))
		if cmd == nil {
			b = appendNull(b, p.out.resp3)
			continue
		}
		b = redcon.AppendArray(b, 10)
		b = redcon.AppendBulkString(b, cmd.name)
		b = redcon.AppendInt(b, int64(cmd.arity))
		b = redcon.AppendArray(b, 1)
		if cmd.group == "pubsub" {
			b = redcon.AppendString(b, "pubsub")
		} else {
			b = redcon.AppendString(b, "fast")
		}
		for range 3 {
			b = redcon.AppendInt(b, 0)
		}
		b = redcon.AppendArray(b, 1)
		b = redcon.AppendString(b, "@"+cmd.group)
		for range 3 {
			b = redcon.AppendArray(b, 0)
		}
	}
	p.replies = b
}

// commandDocs answers what redis-cli asks at its start, for its hints.
func commandDocs(p *peer, args [][]byte) {
	var known []*command
	if len(args) > 2 {
		for _, arg := range args[2:] {
			if cmd := lookup(commands, arg); cmd != nil {
				known = append(known, cmd)
			}
		}
	} else {
		for _, name := range commandNames() {
			known = append(known, commands[name])
		}
	}
	resp3 := p.out.resp3
	b := appendMap(p.reply(), resp3, len(known))
	for _, cmd := range known {
		b = appendMap(appendWords(b, cmd.name), resp3, 3)
		b = appendWords(b, "summary", cmd.summary, "since", "1.0.0", "group", cmd.group)
	}
	p.replies = b
}

// info executes INFO [section ...]. It says nothing about the password.
func info(p *peer, args [][]byte) {
	var text strings.Builder
	for _, section := range infoSections {
		wanted := len(args) == 1
		for _, arg := range args[1:] {
			wanted = wanted || equalFold(arg, section.name) || equalFold(arg, "all") ||
				equalFold(arg, "default") || equalFold(arg, "everything")
		}
		if !wanted {
			continue
		}
		if text.Len() > 0 {
			text.WriteString("\r\n")
		}
		fmt.Fprintf(&text, "# %s\r\n", section.title)
		section.write(&text, p.bus)
	}
	p.replies = appendText(p.reply(), p.out.resp3, text.String())
}

var infoSections = []struct {
	name, title string
	write       func(*strings.Builder, *Embedded)
}{
	{"server", "Server", func(w *strings.Builder, b *Embedded) {
		fmt.Fprintf(w, "redis_version:%s\r\nserver_name:%s\r\nredis_mode:standalone\r\nos:%s %s\r\nprocess_id:%d\r\ntcp_port:%d\r\nuptime_in_seconds:%d\r\n",
			redisVersion, serverName, runtime.GOOS, runtime.GOARCH, os.Getpid(), b.port(), int64(time.Since(b.started).Seconds()))
	}},
	{"clients", "Clients", func(w *strings.Builder, b *Embedded) {
		fmt.Fprintf(w, "connected_clients:%d\r\nmaxclients:%d\r\n", b.Stats().Peers, peersMax)
	}},
	{"stats", "Stats", func(w *strings.Builder, b *Embedded) {
		s := b.Stats()
		_, distinct := b.registry.total()
		fmt.Fprintf(w, "total_connections_received:%d\r\ntotal_commands_processed:%d\r\npubsub_channels:%d\r\npubsub_patterns:%d\r\npubsubshard_channels:%d\r\n",
			s.PeersAccepted, s.Commands, distinct[kindChannel], distinct[kindPattern], distinct[kindShard])
		fmt.Fprintf(w, "published_messages:%d\r\npublished_bytes:%d\r\nrefused_messages:%d\r\nqueued_bytes:%d\r\nsubscribers_lagged:%d\r\nprotocol_errors:%d\r\nauth_failures:%d\r\n",
			s.MessagesIn, s.BytesIn, s.Dropped[bus.DropRefused.String()], s.QueuedBytes, s.PeersClosed[closeLagged.String()], s.ProtocolErrors, s.AuthFailures)
	}},
	{"replication", "Replication", func(w *strings.Builder, _ *Embedded) {
		w.WriteString("role:master\r\nconnected_slaves:0\r\n")
	}},
}
