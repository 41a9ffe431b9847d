package conn

import (
	"sync/atomic"

	"c10m/access"
	"c10m/channel"
	"c10m/conn/members"
	"c10m/conn/reasons"
	"c10m/conn/wire"
)

// twoWays are the connections of many channels.
type twoWays struct {
	*Server // whose part it is

	grants       *access.PatternStore // what tokens of two-way connections allow
	packed       access.PackedPatterns
	nameScratch  [wire.EscapedBytesMax]byte // the channel of a command
	replyScratch [wire.ReplyBytesMax]byte
}

// twoWayProtocol is c10m.v1 (docs/c10m.v1.md): a WebSocket of many channels, whose
// client may publish to others than these.
var twoWayProtocol = &protocol{
	subprotocol:     "c10m.v1",
	isRootFree:      true,
	upgraded:        func(s *Server, p *protocol, fd uint32, n *newcomer) { s.twoWays.admitTwoWay(p, fd, n) },
	shapes:          []func(wire.FrameMode) channel.Shape{named},
	channels:        manyChannels{},
	isStream:        true,
	gauges:          []func(*Stats) *atomic.Int64{openGauge, func(s *Stats) *atomic.Int64 { return &s.TwoWay }},
	repliesBytesMax: repliesBytesMax,

	mayRead:      func(s *Server, fd uint32) bool { return !s.twoWays.isDeaf(fd) && !s.publishing.holdBack(fd) },
	readBytesMax: frameReadBytes,
	received:     receivedFrames,
	hungUp:       hungUp,
	acceptsBytes: func(s *Server, fd uint32) (int64, bool) {
		if !s.publishing.mayPublish(fd) {
			return inboundBytesMax, true
		}
		return wire.CommandBytesMax + int64(s.shared.Config.PublishBytesMax), true
	},
	message:   func(s *Server, fd uint32, bytes []byte) reasons.Reason { return s.twoWays.command(fd, bytes) },
	published: func(s *Server, fd uint32, o *channel.Outcome) { s.twoWays.answerPub(fd, o) },
	unpublished: func(s *Server, fd uint32, o *channel.Outcome) {
		s.twoWays.answerPub(fd, o)
		s.outbox.sayPongs()
	},

	ping:     pingFrames,
	notice:   noticeFrames,
	finish:   func(s *Server, fd uint32, reason reasons.Reason) { s.frames.closeFrames(fd, reason) },
	answered: func(s *Server, fd uint32, c *cold, a *channel.Answer) { s.twoWays.confirmed(fd, c, a) },
}

// admitTwoWay makes fd, whose request was found good and chose c10m.v1, a connection
// of many channels, and a member of the first if it named one, and answers it.
func (s *twoWays) admitTwoWay(p *protocol, fd uint32, n *newcomer) {
	s.speak(fd, p)
	s.setPhase(fd, phaseOpen)
	m := s.members.Of(fd)
	*m = members.Many{}
	grant := n.grant
	if s.shared.Config.Tokens != nil {
		s.packed = grant.Patterns.Pack(s.packed[:0])
		if len(s.packed) > 0 {
			m.Grant = s.grants.Keep(s.packed)
		}
		grant.Publish = s.publisher != nil && len(grant.Patterns.Publish) > 0
	}
	s.gate.grant(fd, grant)
	if len(n.channel) > 0 {
		s.join(fd, n.channel)
	}
	if s.outbox.say(fd, n.response); !s.loop.Closing(fd) && len(n.channel) > 0 {
		s.confirmFirst(fd, n.since)
	}
	if s.draining.IsOn() && !s.loop.Closing(fd) {
		many{s.Server}.Notice(fd) // the walk may have passed it
	}
}

// confirmFirst confirms the channel of the URL, as if it had been asked for with SUB;
// but without a position the history is not asked, since what is published after the
// client saw the answer to its request is to reach it.
func (s *twoWays) confirmFirst(fd uint32, since []byte) {
	n := s.members.Of(fd).First
	s.current = fd
	switch {
	case len(since) == 0:
		s.replyPosition(wire.ReplySub, s.registry.Name(n), nil)
	case !s.mayAsk(fd):
		s.dismiss(fd, reasons.StateMemory)
		return
	default:
		s.confirm(fd, n, since)
	}
	s.outbox.sayPongs()
}

func (s *twoWays) find(fd uint32, name []byte) (n uint32) {
	return s.members.Find(fd, func(n uint32) bool { return string(s.registry.Name(n)) == string(name) })
}

// join makes fd a member of one more channel. It is not one yet, the name is
// valid, and there is room.
func (s *twoWays) join(fd uint32, name []byte) (n uint32) {
	n = s.members.Join(fd, name, s.protocolOf(fd).format)
	s.stats.Memberships.Add(1)
	s.operator.Joined(fd, n, name)
	return n
}

// leave ends one membership of fd. If its frame is partly in the socket, the rest
// is owed before anything else.
func (s *twoWays) leave(fd, n uint32) {
	if s.members.Of(fd).Busy == n && s.registry.MidFrame(n) {
		c := s.coldOrEnd(fd)
		if c == nil {
			return
		}
		s.outbox.owe(fd, c, s.registry.Hold(n))
		s.loop.ArmWrite(fd, true)
	}
	s.part(fd, n)
}

func (s *twoWays) part(fd, n uint32) {
	s.members.Part(fd, n)
	s.stats.Memberships.Add(-1)
}

// manyChannels: each channel of the connection is a membership.
type manyChannels struct{}

func (manyChannels) leave(s *Server, fd uint32) {
	m := s.members.Of(fd)
	for m.First != 0 {
		s.twoWays.part(fd, m.First)
	}
	s.twoWays.grants.Drop(m.Grant)
	m.Grant = 0
}

func (manyChannels) midFrame(s *Server, fd uint32) bool {
	busy := s.members.Of(fd).Busy
	return busy != 0 && s.registry.MidFrame(busy)
}

// hold needs to hold nobody but who is in the middle of a frame: the others are kept
// back by what the connection owes (members.Table.IsFree).
func (m manyChannels) hold(s *Server, fd uint32) (rest []byte) {
	if m.midFrame(s, fd) {
		return s.registry.Hold(s.members.Of(fd).Busy)
	}
	return nil
}

func (manyChannels) flush(s *Server, fd uint32) (isWhole bool) {
	isWhole = true
	s.members.Find(fd, func(n uint32) (isOver bool) {
		isWhole = s.registry.Flush(n) && isWhole
		return s.loop.Closing(fd)
	})
	return isWhole
}

func (manyChannels) isBlocked(s *Server, fd uint32) bool { return s.members.Of(fd).IsFull }

func (m manyChannels) release(s *Server, fd uint32) {
	s.readAgain(fd)
	s.thaw(fd)
	state := s.members.Of(fd)
	if n := state.Busy; n != 0 {
		state.Busy = 0
		s.registry.Release(n)
	}
	if !s.loop.Closing(fd) {
		m.writable(s, fd)
	}
}

// writable goes on with the channels of a connection whose socket has room: first with
// the one whose frame is unfinished, then with those that are on their way from a position
// to their log, then with the others in turn.
func (manyChannels) writable(s *Server, fd uint32) {
	if !s.members.ServeBusy(fd) {
		return
	}
	stuck, more := s.twoWays.serveBacklogs(fd)
	if !stuck && !s.members.Serve(fd) && !more {
		s.members.Rest(fd)
	}
}

func (manyChannels) isUntold(s *Server, fd uint32) bool {
	return s.members.Find(fd, s.registry.Untold) != 0
}

func (manyChannels) memberIn(s *Server, fd, number uint32) (n uint32, isIn bool) {
	n = s.members.Find(fd, func(n uint32) bool { return s.registry.IsMember(n, number) })
	return n, n != 0
}

// isDeaf reports whether a two-way connection is not to be read from, since it
// does not read what it is answered, and sees to it that epoll tells no more of
// it until it does.
func (s *twoWays) isDeaf(fd uint32) bool {
	record := s.loop.Record(fd)
	if record.Marks&(markCold|markPaused) != markCold || record.Phase != phaseOpen {
		return false // who is paused is not to be deaf, too: holdBack's
	}
	c := s.cold[fd]
	if !c.held && !c.owes() {
		return false
	}
	s.doNotRead(fd, c)
	return true
}
