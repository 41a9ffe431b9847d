package redisbus

import (
	"fmt"
	"slices"

	"c10m/internal/glob"

	"github.com/tidwall/redcon"
)

func pubsubCommands() []command {
	return []command{
		{name: "publish", arity: 3, flags: atLoops, group: "pubsub", summary: "Posts a message to a channel: to WebSockets and to RESP subscribers.", run: publish(false)},
		{name: "spublish", arity: 3, group: "pubsub", summary: "Posts a message to a shard channel: to WebSockets and to SSUBSCRIBE.", run: publish(true)},
		{name: "subscribe", arity: -2, flags: inSubscribed, group: "pubsub", summary: "Listens for messages published to channels.", run: subscribe(kindChannel)},
		{name: "psubscribe", arity: -2, flags: inSubscribed, group: "pubsub", summary: "Listens for messages published to channels that match patterns.", run: subscribe(kindPattern)},
		{name: "ssubscribe", arity: -2, flags: inSubscribed, group: "pubsub", summary: "Listens for messages published to shard channels.", run: subscribe(kindShard)},
		{name: "unsubscribe", arity: -1, flags: inSubscribed, group: "pubsub", summary: "Stops listening to channels.", run: unsubscribe(kindChannel)},
		{name: "punsubscribe", arity: -1, flags: inSubscribed, group: "pubsub", summary: "Stops listening to patterns.", run: unsubscribe(kindPattern)},
		{name: "sunsubscribe", arity: -1, flags: inSubscribed, group: "pubsub", summary: "Stops listening to shard channels.", run: unsubscribe(kindShard)},
		{name: "pubsub", arity: -2, group: "pubsub", summary: "A container for Pub/Sub commands.", subs: subcommands("pubsub",
			command{name: "channels", arity: -2, run: pubsubChannels},
			command{name: "numsub", arity: -2, run: pubsubNumsub},
			command{name: "numpat", arity: 2, run: pubsubNumpat},
			command{name: "shardchannels", arity: -2, run: pubsubShardChannels},
			command{name: "shardnumsub", arity: -2, run: pubsubShardNumsub},
			command{name: "help", arity: 2, run: help("PUBSUB",
				"CHANNELS [<pattern>]", "NUMPAT", "NUMSUB [<channel> ...]", "SHARDCHANNELS [<pattern>]", "SHARDNUMSUB [<shardchannel> ...]")},
		)},
	}
}

// publish makes PUBLISH and SPUBLISH.
func publish(shard bool) func(*peer, [][]byte) {
	return func(p *peer, args [][]byte) {
		if len(p.unsettled) == publishesUnsettledMax {
			p.settle()
			p.flush()
		}
		p.unsettled = append(p.unsettled, p.bus.publish(shard, args[1], args[2]))
	}
}

func subscribe(kind int) func(*peer, [][]byte) {
	return func(p *peer, args [][]byte) { p.subscribe(kind, args[1:]) }
}

func unsubscribe(kind int) func(*peer, [][]byte) {
	return func(p *peer, args [][]byte) {
		p.settle()
		p.flush()
		p.bus.registry.unsubscribe(p, kind, args[1:])
	}
}

func (p *peer) subscribe(kind int, names [][]byte) {
	limit, have := subscriptionsMax, len(p.subs[kindChannel])+len(p.subs[kindShard])
	if kind == kindPattern {
		limit, have = patternsMax, len(p.subs[kindPattern])
	}
	if have+len(names) > limit {
		p.fail(fmt.Sprintf("ERR too many subscriptions of this connection, at most %d of this kind", limit))
		return
	}
	for _, name := range names {
		if len(name) > subscriptionBytesMax {
			p.fail(fmt.Sprintf("ERR a channel or pattern to subscribe to has at most %d bytes", subscriptionBytesMax))
			return
		}
	}
	// The confirmations go straight to the outbox, behind what came before.
	p.settle()
	p.flush()
	p.bus.registry.subscribe(p, kind, names)
}

// patternArg is the optional pattern of PUBSUB CHANNELS.
func (p *peer) patternArg(args [][]byte) (match func(string) bool, ok bool) {
	if len(args) > 3 {
		p.fail("ERR unknown subcommand or wrong number of arguments for '" + printable(args[1], errorArgsBytesMax) + "'. Try PUBSUB HELP.")
		return nil, false
	}
	if len(args) == 2 {
		return func(string) bool { return true }, true
	}
	if len(args[2]) > subscriptionBytesMax {
		p.fail(fmt.Sprintf("ERR a pattern has at most %d bytes", subscriptionBytesMax))
		return nil, false
	}
	pattern := string(args[2]) // the Door's loops must not see the read buffer
	return func(name string) bool { return glob.Match(pattern, name) }, true
}

// pubsubChannels lists the channels of WebSockets and of RESP subscribers, at
// most pubsubChannelsMax: there may be ten million.
func pubsubChannels(p *peer, args [][]byte) {
	match, ok := p.patternArg(args)
	if !ok {
		return
	}
	names := append(p.bus.registry.names(kindChannel, match, pubsubChannelsMax), p.bus.door.Channels(match, pubsubChannelsMax)...)
	slices.Sort(names)
	names = slices.Compact(names)
	p.appendNames(names[:min(len(names), pubsubChannelsMax)])
}

func pubsubShardChannels(p *peer, args [][]byte) {
	if match, ok := p.patternArg(args); ok {
		p.appendNames(p.bus.registry.names(kindShard, match, pubsubChannelsMax))
	}
}

func (p *peer) appendNames(names []string) {
	p.replies = appendWords(redcon.AppendArray(p.reply(), len(names)), names...)
}

func pubsubNumsub(p *peer, args [][]byte) {
	counts := p.bus.registry.subscribers(kindChannel, args[2:])
	if len(args) > 2 {
		names := make([]string, len(args)-2)
		for i := range names {
			names[i] = string(args[i+2])
		}
		for i, n := range p.bus.door.Count(names) {
			counts[i] += n
		}
	}
	p.appendCounts(args[2:], counts)
}

func pubsubShardNumsub(p *peer, args [][]byte) {
	p.appendCounts(args[2:], p.bus.registry.subscribers(kindShard, args[2:]))
}

func (p *peer) appendCounts(names [][]byte, counts []int) {
	b := redcon.AppendArray(p.reply(), 2*len(names))
	for i, name := range names {
		b = redcon.AppendBulk(b, name)
		b = redcon.AppendInt(b, int64(counts[i]))
	}
	p.replies = b
}

func pubsubNumpat(p *peer, _ [][]byte) {
	_, distinct := p.bus.registry.total()
	p.replies = redcon.AppendInt(p.reply(), int64(distinct[kindPattern]))
}
