package redisbus

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"
)

// CLIENT, as far as real clients and operators ask for it.

func clientCommands() map[string]*command {
	onOff := func(p *peer, args [][]byte) {
		if !equalFold(args[2], "on") && !equalFold(args[2], "off") {
			p.fail(errSyntax)
			return
		}
		p.ok() // there is no eviction and no key to touch
	}
	return subcommands("client",
		command{name: "setname", arity: 3, run: clientSetName},
		command{name: "getname", arity: 2, run: clientGetName},
		command{name: "setinfo", arity: 4, run: clientSetInfo},
		command{name: "id", arity: 2, run: func(p *peer, _ [][]byte) { p.replies = redcon.AppendInt(p.reply(), p.id) }},
		command{name: "info", arity: 2, run: clientInfo},
		command{name: "list", arity: -2, run: clientList},
		command{name: "no-evict", arity: 3, run: onOff},
		command{name: "no-touch", arity: 3, run: onOff},
		command{name: "reply", arity: 3, run: func(p *peer, args [][]byte) {
			if !equalFold(args[2], "on") {
				p.fail("ERR CLIENT REPLY knows only ON here")
				return
			}
			p.ok()
		}},
		command{name: "tracking", arity: -3, run: clientTracking},
		command{name: "caching", arity: 3, run: clientCaching},
		command{name: "getredir", arity: 2, run: clientGetRedir},
		command{name: "help", arity: 2, run: help("CLIENT", "SETNAME <name>", "GETNAME", "SETINFO <option> <value>",
			"ID", "INFO", "LIST [ID <id> ...]", "NO-EVICT (ON|OFF)", "NO-TOUCH (ON|OFF)", "REPLY ON",
			"TRACKING (ON|OFF) [REDIRECT <id>] [OPTIN] [OPTOUT] [NOLOOP] [BCAST] [PREFIX <prefix>]", "CACHING (YES|NO)", "GETREDIR")},
	)
}

// clientTracking executes CLIENT TRACKING, with which client libraries keep what they
// read of keys. It is taken, and a library that asks for it by default connects: what
// it promises is kept, as no key can be read here and so none can change. What Redis
// refuses is refused.
func clientTracking(p *peer, args [][]byte) {
	mode, prefixes, redirect := trackingOn, false, int64(0)
	for rest := args[3:]; len(rest) > 0; rest = rest[1:] {
		switch {
		case equalFold(rest[0], "redirect") && len(rest) > 1:
			rest = rest[1:]
			id, err := strconv.ParseInt(string(rest[0]), 10, 64)
			switch {
			case redirect != 0:
				p.fail("ERR A client can only redirect to a single other client")
				return
			case err != nil:
				p.fail("ERR value is not an integer or out of range")
				return
			case !slices.ContainsFunc(p.bus.all(), func(q *peer) bool { return q.id == id }):
				p.fail("ERR The client ID you want redirect to does not exist")
				return
			}
			redirect = id
		case equalFold(rest[0], "bcast"):
			mode |= trackingBroadcast
		case equalFold(rest[0], "optin"):
			mode |= trackingOptIn
		case equalFold(rest[0], "optout"):
			mode |= trackingOptOut
		case equalFold(rest[0], "noloop"):
		case equalFold(rest[0], "prefix") && len(rest) > 1:
			rest, prefixes = rest[1:], true
		default:
			p.fail(errSyntax)
			return
		}
	}
	switch {
	case equalFold(args[2], "on"):
		if why := trackingConflict(p.tracking, mode, prefixes); why != "" {
			p.fail(why)
			return
		}
		p.tracking |= mode
		p.redirect = redirect
	case equalFold(args[2], "off"):
		p.tracking, p.redirect = trackingOff, 0
	default:
		p.fail(errSyntax)
		return
	}
	p.ok()
}

// What a peer said with CLIENT TRACKING.
const (
	trackingOff = 0
	trackingOn  = 1 << (iota - 1)
	trackingBroadcast
	trackingOptIn
	trackingOptOut
	trackingOpt = trackingOptIn | trackingOptOut
)

// trackingConflict words as Redis does why a mode can not follow another, "" if it can.
func trackingConflict(old, mode int, prefixes bool) string {
	switch {
	case prefixes && mode&trackingBroadcast == 0:
		return "ERR PREFIX option requires BCAST mode to be enabled"
	case old != trackingOff && (old^mode)&trackingBroadcast != 0:
		return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
	case mode&trackingBroadcast != 0 && mode&trackingOpt != 0:
		return "ERR OPTIN and OPTOUT are not compatible with BCAST"
	case mode&trackingOpt == trackingOpt:
		return "ERR You can't specify both OPTIN mode and OPTOUT mode"
	case (old|mode)&trackingOpt == trackingOpt:
		return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
	}
	return ""
}

func clientCaching(p *peer, args [][]byte) {
	yes, no := equalFold(args[2], "yes"), equalFold(args[2], "no")
	switch {
	case p.tracking&trackingOpt == 0:
		p.fail("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
	case !yes && !no:
		p.fail(errSyntax)
	case yes && p.tracking&trackingOptIn == 0:
		p.fail("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
	case no && p.tracking&trackingOptOut == 0:
		p.fail("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
	default:
		p.ok()
	}
}

func clientGetRedir(p *peer, _ [][]byte) {
	redirect := p.redirect
	if p.tracking == trackingOff {
		redirect = -1
	}
	p.replies = redcon.AppendInt(p.reply(), redirect)
}

// all are the peers of now, in the order in which they came.
func (b *Embedded) all() []*peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Keys(b.peers), func(x, y *peer) int { return cmp.Compare(x.id, y.id) })
}

func validName(name []byte) bool {
	for _, c := range name {
		if c < '!' || c > '~' {
			return false
		}
	}
	return len(name) <= peerNameBytesMax
}

func (p *peer) setName(name []byte) {
	p.bus.registry.mu.Lock()
	p.name = string(name)
	p.bus.registry.mu.Unlock()
}

func clientSetName(p *peer, args [][]byte) {
	if !validName(args[2]) {
		p.fail(errName)
		return
	}
	p.setName(args[2])
	p.ok()
}

func clientGetName(p *peer, _ [][]byte) {
	if p.name == "" {
		p.replies = appendNull(p.reply(), p.out.resp3)
		return
	}
	p.replies = redcon.AppendBulkString(p.reply(), p.name)
}

func clientSetInfo(p *peer, args [][]byte) {
	option := strings.ToLower(printable(args[2], errorArgsBytesMax))
	if !validName(args[3]) {
		p.fail("ERR " + option + " cannot contain spaces, newlines or special characters.")
		return
	}
	p.bus.registry.mu.Lock()
	known := true
	switch option {
	case "lib-name":
		p.libName = string(args[3])
	case "lib-ver":
		p.libVersion = string(args[3])
	default:
		known = false
	}
	p.bus.registry.mu.Unlock()
	if !known {
		p.fail("ERR Unrecognized option '" + option + "'")
		return
	}
	p.ok()
}

func clientInfo(p *peer, _ [][]byte) {
	p.replies = appendText(p.reply(), p.out.resp3, describePeers([]*peer{p}))
}

// clientList executes CLIENT LIST [TYPE type] [ID id ...].
func clientList(p *peer, args [][]byte) {
	keep := func(*peer) bool { return true } // called with the registry locked
	switch {
	case len(args) == 2:
	case equalFold(args[2], "id") && len(args) > 3:
		var ids []int64
		for _, arg := range args[3:] {
			id, err := strconv.ParseInt(string(arg), 10, 64)
			if err != nil {
				p.fail("ERR Invalid client ID")
				return
			}
			ids = append(ids, id)
		}
		keep = func(q *peer) bool { return slices.Contains(ids, q.id) }
	case equalFold(args[2], "type") && len(args) == 4:
		switch kind := strings.ToLower(printable(args[3], errorArgsBytesMax)); kind {
		case "normal", "pubsub":
			keep = func(q *peer) bool { return q.subscribed() == (kind == "pubsub") }
		case "master", "replica":
			keep = func(*peer) bool { return false }
		default:
			p.fail("ERR Unknown client type '" + printable(args[3], errorArgsBytesMax) + "'")
			return
		}
	default:
		p.fail(errSyntax)
		return
	}
	list := p.bus.all()
	r := p.bus.registry
	r.mu.RLock()
	list = slices.DeleteFunc(list, func(q *peer) bool { return !keep(q) })
	r.mu.RUnlock()
	p.replies = appendText(p.reply(), p.out.resp3, describePeers(list))
}

// describePeers writes a line per peer, as Redis does with the fields that mean
// something here.
func describePeers(list []*peer) string {
	var b strings.Builder
	now := time.Now()
	for _, q := range list {
		q.out.mu.Lock()
		waiting, resp := len(q.out.queue)+len(q.out.aside)+q.out.writing, 2
		if q.out.resp3 {
			resp = 3
		}
		q.out.mu.Unlock()
		r := q.bus.registry
		r.mu.RLock()
		flags := "N"
		if q.subscribed() {
			flags = "P"
		}
		fmt.Fprintf(&b, "id=%d addr=%s laddr=%s name=%s age=%d idle=%d flags=%s db=0 sub=%d psub=%d ssub=%d omem=%d user=default resp=%d lib-name=%s lib-ver=%s\n",
			q.id, q.conn.RemoteAddr(), q.conn.LocalAddr(), q.name,
			int64(now.Sub(q.since).Seconds()), max(0, now.Unix()-q.active.Load()), flags,
			len(q.subs[kindChannel]), len(q.subs[kindPattern]), len(q.subs[kindShard]),
			waiting, resp, q.libName, q.libVersion)
		r.mu.RUnlock()
	}
	return b.String()
}
