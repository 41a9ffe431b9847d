package channel

import "bytes"

// PresencePrefix begins the names of the channels that tell who comes to another
// and leaves it. Nobody is told of their own members.
const PresencePrefix = "presence:"

// A presenceChange is how many came to a channel and left it since it was told.
type presenceChange struct{ joined, left int }

// changed notes that members of a channel came or left, if somebody wants to know.
func (r *Registry) changed(name []byte, joined, left int) {
	if r.presence == nil || len(PresencePrefix)+len(name) > NameBytesMax || bytes.HasPrefix(name, []byte(PresencePrefix)) {
		return
	}
	change, isThere := r.presence[string(name)]
	if !isThere && len(r.presence) == presenceChannelsMax {
		r.stats.PresenceDropped.Add(1)
		return
	}
	change.joined += joined
	change.left += left
	r.presence[string(name)] = change
}

// Changes tells of channels to which members came, or which they left, since the
// last time, at most max of them; tell returns false if it cannot take it, and is
// told again the next time. A channel to which as many came as left is not told of:
// mostly they are the same, as long-polls come and go with each answer. more reports
// that there is more to tell.
func (r *Registry) Changes(max int, tell func(name string, joined, left int) (taken bool)) (more bool) {
	for name, change := range r.presence {
		if max == 0 {
			return true
		}
		max--
		if change.joined != change.left && !tell(name, change.joined, change.left) {
			return false
		}
		delete(r.presence, name)
	}
	return false
}
