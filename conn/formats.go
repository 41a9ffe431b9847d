package conn

import (
	"c10m/channel"
	"c10m/conn/wire"
)

// wire knows channels by the length of their names alone.
var _ = [1]struct{}{}[wire.NameBytesMax-channel.NameBytesMax]

// HubConfig is the configuration of a hub whose members are connections of this
// package: how its messages look in each format. now is the clock of the loops.
func HubConfig(mode wire.FrameMode, payloadBytesMax int, now func() int64) channel.HubConfig {
	config := channel.HubConfig{Frame: mode.Frame, PayloadBytesMax: payloadBytesMax, Now: now}
	for _, p := range protocols {
		for i, shape := range p.shapes {
			config.Formats[p.format+channel.Format(i)] = shape(mode)
		}
	}
	return config
}
