package main

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"golang.org/x/sys/unix"

	"c10m/bench/baseline/feed"
)

// A shard is one epoll with its share of the connections.
type shard struct {
	// Fixed after construction.
	epoll      int
	workers    pool
	broadcasts chan broadcast

	// Owned by the writer.
	members []*member // used again, so that a broadcast makes no garbage

	// Guarded by mu.
	mu       sync.RWMutex
	conns    map[int]*member // by descriptor
	channels map[string]map[*member]struct{}
}

type broadcast struct {
	channel string
	frame   []byte
}

// A member is one connection.
type member struct {
	// Fixed after construction.
	conn    net.Conn
	fd      int
	channel string
}

func newShard(workers pool) (*shard, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make an epoll: %w", err)
	}
	return &shard{epoll: epoll, workers: workers, broadcasts: make(chan broadcast, broadcastsMax),
		conns: map[int]*member{}, channels: map[string]map[*member]struct{}{}}, nil
}

// upgrade makes a connection a member.
func (s *shard) upgrade(conn net.Conn) {
	m := &member{conn: conn}
	upgrader := ws.Upgrader{OnRequest: func(target []byte) (err error) {
		if m.channel, err = feed.ChannelOf(string(target)); err != nil {
			err = ws.RejectConnectionError(ws.RejectionStatus(400), ws.RejectionReason(err.Error()))
		}
		return err
	}}
	conn.SetDeadline(time.Now().Add(handshakeTimeout))
	if _, err := upgrader.Upgrade(conn); err != nil {
		conn.Close()
		return
	}
	conn.SetDeadline(time.Time{})
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { m.fd = int(fd) })
		err = s.add(m)
	}
	if err != nil {
		conn.Close()
	}
}

func (s *shard) add(m *member) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[m.fd] = m
	if s.channels[m.channel] == nil {
		s.channels[m.channel] = map[*member]struct{}{}
	}
	s.channels[m.channel][m] = struct{}{}
	return unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, m.fd, readable(m.fd))
}

// readable asks for one event, so that one worker at a time reads from a
// connection.
func readable(fd int) *unix.EpollEvent {
	return &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(fd)}
}

func (s *shard) remove(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, m.fd)
	delete(s.channels[m.channel], m)
	if len(s.channels[m.channel]) == 0 {
		delete(s.channels, m.channel)
	}
	unix.EpollCtl(s.epoll, unix.EPOLL_CTL_DEL, m.fd, nil)
	m.conn.Close() // under the lock, so that nobody gets the number before it is forgotten
}

// wait is the loop.
func (s *shard) wait() error {
	events := make([]unix.EpollEvent, eventsMax)
	for {
		n, err := unix.EpollWait(s.epoll, events, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, event := range events[:n] {
			s.mu.RLock()
			m := s.conns[int(event.Fd)]
			s.mu.RUnlock()
			if m != nil {
				s.workers <- func() { s.read(m) }
			}
		}
	}
}

// read takes one frame, answers it if it is a ping or a close, and passes over
// everything else that a subscriber says.
func (s *shard) read(m *member) {
	m.conn.SetReadDeadline(time.Now().Add(readTimeout))
	reader := wsutil.NewServerSideReader(m.conn)
	header, err := reader.NextFrame()
	if err == nil {
		if header.OpCode.IsControl() {
			err = wsutil.ControlFrameHandler(m.conn, ws.StateServerSide)(header, reader)
		} else {
			err = reader.Discard()
		}
	}
	if err != nil {
		s.remove(m)
		return
	}
	unix.EpollCtl(s.epoll, unix.EPOLL_CTL_MOD, m.fd, readable(m.fd))
}

// write sends every broadcast to the members of this shard, and a ping to all
// of them every pingInterval.
func (s *shard) write() {
	pings := time.NewTicker(pingInterval)
	defer pings.Stop()
	for {
		select {
		case b := <-s.broadcasts:
			s.send(b.frame, func(visit func(*member)) {
				for m := range s.channels[b.channel] {
					visit(m)
				}
			})
		case <-pings.C:
			s.send(ws.CompiledPing, func(visit func(*member)) {
				for _, m := range s.conns {
					visit(m)
				}
			})
		}
	}
}

// send writes a frame to those whom each visits under the lock. The lock is
// not held meanwhile, as a write may wait.
func (s *shard) send(frame []byte, each func(func(*member))) {
	s.members = s.members[:0]
	s.mu.RLock()
	each(func(m *member) { s.members = append(s.members, m) })
	s.mu.RUnlock()
	deadline := time.Now().Add(writeTimeout)
	for _, m := range s.members {
		m.conn.SetWriteDeadline(deadline)
		if _, err := m.conn.Write(frame); err != nil {
			// The reader sees the end of the stream and removes it.
			m.conn.(*net.TCPConn).CloseRead()
		}
	}
}
