package channel

import (
	"bytes"
	"sync"

	"c10m/poller"
)

// PresencePrefix begins the names of the channels that tell who comes to another
// and leaves it. Nobody is told of their own members.
const PresencePrefix = "presence:"

// Changes alone cannot be added to a number that was asked for: nobody knows which of
// them are in it. So whatever is told of a channel carries how many members a loop has
// there and a version, which ascends with each change; who listens keeps the latest
// part of each loop, whether it was asked for or told, and adds these.

// A Part is what one loop knows of a channel.
type Part struct {
	Of      string // the loop, by a name that no other has, here or elsewhere
	Members int
	Version uint64
}

// A presenceChange is how many came to a channel and left it since it was told.
type presenceChange struct {
	joined, left int
	asked        bool // somebody was told of a number in between
}

// presence is what a registry has for those who want to know.
type presence struct {
	name    string
	version uint64
	changes map[string]presenceChange // nil if nobody wants to know
}

// changed notes that members of a channel came or left, if somebody wants to know.
func (r *Registry) changed(name []byte, joined, left int) {
	if r.presence.changes == nil || bytes.HasPrefix(name, []byte(PresencePrefix)) {
		return
	}
	if len(PresencePrefix)+len(name) > NameBytesMax { // nobody can subscribe to it
		r.stats.PresenceUnnamed.Add(uint64(joined + left))
		return
	}
	r.presence.version++
	change, isThere := r.presence.changes[string(name)]
	if !isThere && len(r.presence.changes) == presenceChannelsMax {
		r.stats.PresenceDropped.Add(1)
		return
	}
	change.joined += joined
	change.left += left
	r.presence.changes[string(name)] = change
}

// part is what this loop knows of a channel now.
func (r *Registry) part(name []byte) Part {
	p := Part{Of: r.presence.name, Version: r.presence.version}
	if at := r.index.find(name, hashName(name)); at != 0 {
		p.Members = int(r.cells.at(at).members)
	}
	return p
}

// Changes tells of channels to which members came, or which they left, since the
// last time, at most max of them; tell returns false if it cannot take it, and is
// told again the next time. A channel to which as many came as left is not told of,
// unless somebody asked meanwhile: mostly they are the same, as long-polls come and go
// with each answer. more reports that there is more to tell.
func (r *Registry) Changes(max int, tell func(name string, joined, left int, now Part) (taken bool)) (more bool) {
	for name, change := range r.presence.changes {
		if max == 0 {
			return true
		}
		max--
		if (change.joined != change.left || change.asked) && !tell(name, change.joined, change.left, r.part([]byte(name))) {
			return false
		}
		delete(r.presence.changes, name)
	}
	return false
}

// A presenceQuestion asks every loop for its part.
type presenceQuestion struct {
	name  []byte
	parts []Part // by loop
	done  sync.WaitGroup
}

// presenceOfLoop is one loop's part of a question.
type presenceOfLoop struct {
	*presenceQuestion
	loop int
}

// Presence returns the parts of a channel, of all loops; none without Config.Presence.
func (h *Hub) Presence(name string) (parts []Part) {
	ask := &presenceQuestion{name: []byte(name), parts: make([]Part, len(h.loops))}
	ask.done.Add(len(h.loops))
	for i, loop := range h.loops {
		h.insist(loop, &poller.Letter{Body: &presenceOfLoop{ask, i}})
	}
	ask.done.Wait()
	if ask.parts[0].Of == "" {
		return nil
	}
	return ask.parts
}

func (r *Registry) answerPresence(ask *presenceOfLoop) {
	if r.presence.changes != nil {
		ask.parts[ask.loop] = r.part(ask.name)
		if change, isThere := r.presence.changes[string(ask.name)]; isThere {
			change.asked = true
			r.presence.changes[string(ask.name)] = change
		}
	}
	ask.done.Done()
}
