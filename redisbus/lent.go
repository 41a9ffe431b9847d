package redisbus

import (
	"c10m/bus"
	"c10m/channel"
	"c10m/poller"

	"github.com/tidwall/redcon"
)

// A Host is a loop that peers are lent to for as long as they only publish, and its way
// into the Door, which has to be the Hub of this bus. A message then goes from its
// publisher's socket to its subscriber's on one thread, and its publisher is answered by the
// same.
type Host struct {
	Loop *poller.Loop
	Way  *channel.Shortcut
}

// LendTo has the bus lend peers to loops, which are to share the process's descriptor
// table. They end after the bus.
func (b *Embedded) LendTo(hosts []Host) { b.hosts.Store(&hosts) }

// host returns the next loop to lend a peer to; nil if there is none.
func (b *Embedded) host() *Host {
	hosts := b.hosts.Load()
	if hosts == nil || len(*hosts) == 0 {
		return nil
	}
	return &(*hosts)[b.lent.Add(1)%uint64(len(*hosts))]
}

// A lent peer is at a loop: its reader sleeps until it is returned, its writer has nothing
// to write, and all that is the reader's is the loop's.
type lentPeer struct {
	*peer
	way      bus.Shortcut
	returned chan struct{}
}

var _ poller.Guest = (*lentPeer)(nil)

// mayBeLent reports whether the peer did nothing but publish of late, and nothing is under
// way but replies that are not flushed.
func (p *peer) mayBeLent() bool {
	return p.inARow >= p.lendAfter && p.bus.registry.count.Load() == 0 && !p.multi.open && !p.bus.closing.Load() && p.out.waiting() == 0
}

// lend has a loop read from the peer until it says something that is not done at once, or
// nothing more. It returns when the peer is back; what it said is in held then. false: it
// was never away.
func (p *peer) lend() bool {
	host := p.bus.host()
	socket, ok := p.conn.(*line)
	if host == nil || !ok {
		return false
	}
	lent := &lentPeer{peer: p, way: p.bus.Shortcut(host.Way), returned: make(chan struct{})}
	fd, err := socket.lend()
	if err != nil {
		return false
	}
	host.Loop.Lend(uint32(fd), lent)
	socket.lentTo(func() { host.Loop.Recall(uint32(fd), lent) })
	<-lent.returned
	socket.giveBack(fd)
	// Who goes on to say something else is lent less and less readily: it takes longer than
	// to answer him.
	p.inARow, p.lendAfter = 0, min(2*p.lendAfter, lendAfterMax)
	return true
}

// Returned implements poller.Guest.
func (p *lentPeer) Returned() { close(p.returned) }

// Lent implements poller.Guest: the loop says what its reader had still to say.
func (p *lentPeer) Lent(l *poller.Loop, number uint32) {
	if !p.say(l, number) {
		l.Return(number)
	}
}

// say says the replies, and reports whether all went.
func (p *lentPeer) say(l *poller.Loop, number uint32) (isWhole bool) {
	if len(p.replies) > 0 {
		said, _ := l.Send(number, poller.Words(p.replies))
		p.replies = p.replies[:copy(p.replies, p.replies[said:])]
	}
	return len(p.replies) == 0
}

// Readable implements poller.Guest: it executes what one read brings, and says all replies
// together. What is no PUBLISH, cannot be published at once, is longer than a read, or
// breaks the protocol, and the end of the stream, are the reader's.
func (p *lentPeer) Readable(l *poller.Loop, number uint32) {
	n, status := l.Recv(number, p.in.room())
	if status == poller.Full {
		return
	}
	p.in.w += n
	stays := status == poller.OK && n > 0 && p.publishAll()
	if isWhole := p.say(l, number); !stays || !isWhole {
		l.Return(number)
	}
}

// publishAll publishes what there is, and reports whether the next is still to come.
func (p *lentPeer) publishAll() (stays bool) {
	for {
		args, err := p.in.next(p.authed)
		if err == errMore {
			return p.in.w-p.in.r < readBufferBytes
		}
		if err != nil {
			p.badly = err
			return false
		}
		if len(args) == 0 {
			continue
		}
		if len(args) != 3 || !equalFold(args[0], "publish") {
			p.held = args
			return false
		}
		sent, ok := p.way.Publish(args[1], args[2])
		if !ok {
			p.held = args
			return false
		}
		p.bus.count.commands.Add(1)
		p.active.Store(nowUnix())
		p.replies = redcon.AppendInt(p.replies, int64(sent.Connections))
	}
}
