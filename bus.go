package main

import (
	"context"
	"time"

	"c10m/admin"
	"c10m/bus"
	"c10m/channel"
	"c10m/conn"
	"c10m/conn/reasons"
	"c10m/poller"
	"c10m/redisbus"

	"go.uber.org/zap"
)

func openBus(f *serveFlags, hub *channel.Hub, onGap func(bus.Gap), log *zap.Logger) (bus.Bus, error) {
	if f.Bus == "embedded" {
		return redisbus.ListenEmbedded(f.embedded(), hub, log)
	}
	return redisbus.ConnectRedis(redisbus.RedisConfig{URL: f.Bus, ProbeInterval: f.BusProbe, ProbeTimeout: f.BusProbe, OnGap: onGap}, hub, log)
}

// takeShortcuts has the loops publish by themselves what their clients say, and what RESP
// peers do, if the bus is embedded. A peer's descriptor is in no table but the process's.
func (p *plan) takeShortcuts(driver bus.Bus, repeats *bus.Repeats, loops []*poller.Loop, ways []*channel.Shortcut) {
	embedded, ok := driver.(*redisbus.Embedded)
	if !ok {
		return
	}
	if !p.sockets.PrivateFDTables {
		var hosts []redisbus.Host
		for i, loop := range loops {
			hosts = append(hosts, redisbus.Host{Loop: loop, Way: ways[i]})
		}
		embedded.LendTo(hosts)
	}
	for i, queue := range p.queues {
		queue.TakeShortcut(repeats.Shortcut(embedded.Shortcut(ways[i])))
	}
}

func (f *serveFlags) embedded() redisbus.EmbeddedConfig {
	return redisbus.EmbeddedConfig{Addr: f.BusListen, Password: f.BusPassword}
}

// checkAddresses returns the error that would end the server after its listeners
// are open. With another server on the same ports the kernel gives them their part
// of the newcomers at once, who would be reset. The bus and the pages themselves
// come later, since a loop with a descriptor table of its own keeps a copy of
// whatever is open before it.
func (f *serveFlags) checkAddresses() error {
	if f.Admin != "off" {
		if err := admin.Check(f.adminConfig()); err != nil {
			return err
		}
	}
	if f.Bus == "embedded" {
		return redisbus.CheckEmbedded(f.embedded())
	}
	return redisbus.CheckRedis(f.Bus)
}

func (f *serveFlags) adminConfig() admin.Config {
	return admin.Config{Addr: f.Admin, Password: f.AdminPassword, Hosts: f.AdminHost, MessageBytesMax: int(f.MessageBytes)}
}

// afterGap returns what is done when messages come again after a gap (--gap).
// Nobody can say who missed what, or whether anything was published at all, so
// all that were connected then are told alike, and so are those who were not and
// come back with a position from before.
func (f *serveFlags) afterGap(hub *channel.Hub, shared *conn.Shared, log *zap.Logger) func(bus.Gap) {
	if f.Gap == "ignore" {
		return nil
	}
	return func(gap bus.Gap) {
		if connections := shared.Open(); connections > 0 {
			log.Warn("closing the connections that may have missed messages (--gap)",
				zap.Int64("connections", connections), zap.Int("code", reasons.CodeMissedMessages), zap.Duration("over", f.Drain),
				zap.Time("from", gap.From.Round(time.Millisecond)), zap.Time("to", gap.To.Round(time.Millisecond)))
		}
		hub.Interrupted(f.Drain)
	}
}

// closeTimeout bounds how long the bus and the admin pages may take to end.
const closeTimeout = 3 * time.Second

func closeSoon(c interface{ Close(context.Context) error }) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return c.Close(ctx)
}
