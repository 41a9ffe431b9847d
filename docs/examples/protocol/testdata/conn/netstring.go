package conn

import (
	"sync/atomic"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"

	"github.com/gobwas/ws"
)

// netstrings is the subprotocol "netstrings": a WebSocket of one channel whose messages
// are netstrings, both ways.
var netstrings = &protocol{
	subprotocol: "netstrings",
	upgraded:    (*Server).admitMember,
	shapes:      []func(wire.FrameMode) channel.Shape{netstringShape},
	channels:    oneChannel{},
	isStream:    true,
	gauges:      []func(*Stats) *atomic.Int64{openGauge},

	mayRead:      func(s *Server, fd uint32) bool { return !s.publishing.holdBack(fd) },
	readBytesMax: frameReadBytes,
	received:     receivedFrames,
	hungUp:       hungUp,
	acceptsBytes: func(s *Server, fd uint32) (int64, bool) {
		return int64(s.shared.Config.PublishBytesMax) + 12, s.publishing.mayPublish(fd)
	},
	message: func(s *Server, fd uint32, p []byte) reasons.Reason {
		payload, ok := wire.ParseNetstring(p)
		if !ok {
			return reasons.ProtocolError
		}
		return s.publishing.publishOwn(fd, payload)
	},
	unpublished: func(s *Server, fd uint32, _ *channel.Outcome) { s.dismiss(fd, reasons.PublishFailed) },

	ping:     pingFrames,
	notice:   noticeFrames,
	finish:   func(s *Server, fd uint32, reason reasons.Reason) { s.frames.closeFrames(fd, reason) },
	answered: func(s *Server, fd uint32, c *cold, a *channel.Answer) { s.resumer.resumed(fd, c, a) },
	gone:     func(s *Server, fd uint32, _ *channel.Answer) { s.dismiss(fd, reasons.PositionGone) },
}

func netstringShape(wire.FrameMode) channel.Shape {
	return channel.Shape{Encode: func(m *channel.Message) []byte {
		return wire.AppendFrame(nil, ws.OpBinary, wire.AppendNetstring(nil, m.Payload()))
	}}
}
