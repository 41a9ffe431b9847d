package redisbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"c10m/bus"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// What a member of the bus is. A Redis that became a replica, or whose link to its
// master is down, goes on to take and to send messages, and nobody elsewhere gets
// the ones, nor do the others come here: no error and no probe says so. So each
// probe asks for the role first, and each batch that is published asks last.

// A role is what a Redis is to the others that hold the same data.
type role int

const (
	roleUnknown role = iota // it may not be asked
	roleMaster
	roleReplica
)

// A member is what a Redis says about itself.
type member struct {
	role   role
	master string // whose replica it is, as host:port
	link   string // to that master: connected, or what it is else
}

const linkUp = "connected"

// A roleError says why a Redis can not be relied on, though it answers.
type roleError struct {
	text   string
	isDeaf bool // what is published elsewhere does not come
}

func (e *roleError) Error() string { return e.text }

func newRoleError(isDeaf bool, format string, args ...any) error {
	return &roleError{fmt.Sprintf(format, args...), isDeaf}
}

// parseRole reads the reply to ROLE: "master", offset, replicas; or "slave", host,
// port, link, offset; or "sentinel", masters.
func parseRole(reply any) (m member, err error) {
	fields, _ := reply.([]any)
	word := func(i int) string {
		if i >= len(fields) {
			return ""
		}
		return fmt.Sprint(fields[i])
	}
	switch word(0) {
	case "master":
		return member{role: roleMaster}, nil
	case "slave":
		return member{role: roleReplica, master: net.JoinHostPort(word(1), word(2)), link: word(3)}, nil
	case "sentinel":
		return m, newRoleError(true, "it is a Sentinel, which knows Redis servers and is none: set --bus to the master")
	}
	return m, fmt.Errorf("the answer to ROLE is %s, so this is no Redis that can be used", bus.Clip(fmt.Sprint(reply)))
}

// parseReplication reads what INFO replication says of the same.
func parseReplication(info string) (m member) {
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			fields[name] = value
		}
	}
	switch fields["role"] {
	case "master":
		m.role = roleMaster
	case "slave":
		m = member{role: roleReplica, master: net.JoinHostPort(fields["master_host"], fields["master_port"]), link: linkUp}
		if status := fields["master_link_status"]; status != "up" {
			m.link = status
		}
	}
	return m
}

// A roleQuestion is a command that tells the role. An ACL may forbid each of them,
// and what is no Redis may not know them.
type roleQuestion int32

const (
	byRole roleQuestion = iota
	byInfo
	byNothing
)

// A processor is a client of Redis, or one connection of it.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// ask returns what the Redis at the other end is.
func (s *session) ask(ctx context.Context, client processor) (m member, err error) {
	for {
		switch roleQuestion(s.question.Load()) {
		case byRole:
			reply := redis.NewCmd(ctx, "role")
			if err = client.Process(ctx, reply); err == nil {
				s.tellsRole.Store(true)
				return parseRole(reply.Val())
			}
		case byInfo:
			reply := redis.NewStringCmd(ctx, "info", "replication")
			if err = client.Process(ctx, reply); err == nil {
				return parseReplication(reply.Val()), nil
			}
		default:
			return m, nil
		}
		if !redis.IsPermissionError(err) && !redis.HasErrorPrefix(err, "unknown command") {
			return m, err
		}
		s.tellsRole.Store(false)
		if s.question.Add(1) == int32(byNothing) && !s.saidNoRole {
			s.saidNoRole = true
			s.log.Warn("this user may send neither ROLE nor INFO to Redis: a Redis that becomes a replica, or loses its master, goes unnoticed; permit one of them (+role)", zap.Error(err))
		}
	}
}

// listens is asked of the connection that subscribes, before it does: at a member to
// which nothing comes, a subscription proves nothing.
func (s *session) listens(ctx context.Context, subscriber *redis.Conn) error {
	m, err := s.ask(ctx, subscriber)
	if err != nil {
		return err
	}
	var bad *roleError
	switch err := s.judge(m, nil); {
	case err == nil:
		s.first = &m
	case errors.As(err, &bad) && bad.isDeaf:
		return err
	}
	return nil
}

// judge says whether messages that are published anywhere arrive at such a member,
// and those that are published there anywhere else. first is what this session
// began with, or nil. A replica will do for a server that was pointed to it: it hears
// everything, and what its clients publish is refused. A master that became one will
// not: it is not what the operator chose, and until its address leads to a master, or
// it is one again, the light is red.
func (r *Redis) judge(now member, first *member) error {
	r.mu.Lock()
	wasMaster := r.wasMaster
	r.mu.Unlock()
	switch {
	case now.role == roleReplica && now.link != linkUp:
		return newRoleError(true, "its link to its master %s is down (%q), so what is published there does not arrive", now.master, bus.Clip(now.link))
	case now.role == roleReplica && wasMaster:
		return newRoleError(false, "it was a master and is a replica of %s now, so what is published at it reaches nobody elsewhere: set --bus to the master", now.master)
	case first != nil && first.role == roleReplica && now.role == roleMaster:
		return newRoleError(false, "it was a replica of %s and is a master now", first.master)
	case first != nil && first.role == roleReplica && now.role == roleReplica && first.master != now.master:
		return newRoleError(false, "it was a replica of %s and is one of %s now", first.master, now.master)
	}
	return nil
}

// accept notes what a member is that judge found good.
func (r *Redis) accept(now member, asked time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.roleGood = asked
	if now.role == roleReplica && r.replicaOf != now.master {
		r.log.Warn("this Redis is a replica: what is published at its master arrives, and what clients publish here is refused", zap.String("master", now.master))
	}
	r.replicaOf = now.master
	r.wasMaster = r.wasMaster || now.role == roleMaster
}
