package conn

import (
	"c10m/channel"
	"c10m/conn/wire"
)

// HubConfig is the configuration of a hub whose members are connections of this
// package: how its messages look in each format. now is the clock of the loops.
func HubConfig(mode wire.FrameMode, payloadBytesMax int, now func() int64) channel.HubConfig {
	config := channel.HubConfig{Frame: mode.Frame, PayloadBytesMax: payloadBytesMax, Now: now}
	config.Encoders[channel.Named-1] = named(mode)
	config.Encoders[channel.Event-1] = encodeEvent
	for _, format := range []channel.Format{channel.Response, channel.LastResponse} {
		config.Encoders[format-1] = func(m *channel.Message) []byte { return wire.Dated(joinResponses(format, []*channel.Message{m})) }
	}
	config.Join = func(format channel.Format, messages []*channel.Message) []byte {
		return wire.Dated(joinResponses(format, messages))
	}
	return config
}
