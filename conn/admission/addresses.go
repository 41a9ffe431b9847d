package admission

import (
	"math"
	"net/netip"

	"c10m/access"
	"c10m/conn/reasons"
	"c10m/internal/slab"
)

// Access is who gets in. The zero value lets everybody in.
type Access struct {
	// Origins are the pages that may connect; nil is all.
	Origins *access.Origins
	// Addresses limits the connections of a client's address; nil does not.
	Addresses *access.Addresses
	// Trusted are the proxies in front. Their own addresses are not limited.
	Trusted *access.Networks
	// ProxyProtocol demands a PROXY header of every connection from Trusted,
	// ForwardedFor X-Forwarded-For of every request of theirs.
	ProxyProtocol bool
	ForwardedFor  bool
	// DescriptorsMax is above every descriptor, and PrivateFDTables tells
	// whether each loop counts them from 0: as in epoll.Config. They are needed
	// with Addresses only.
	DescriptorsMax  int
	PrivateFDTables bool
}

// Shared is what the loops have in common of it.
type Shared struct {
	// Fixed after construction.
	*Access
	WantsAddress bool // of each peer, when it comes
	tooFast      [][]byte
	// clients is whom each connection is counted under, if the loops share the
	// descriptors; each entry is owned by the connection's loop.
	clients *slab.Sparse[access.Key]
}

// NewShared makes the common part.
func NewShared(a *Access) Shared {
	s := Shared{Access: a, WantsAddress: a.Addresses != nil || !a.Trusted.Empty()}
	if a.Addresses == nil {
		return s
	}
	if a.DescriptorsMax <= 0 {
		panic("BUG: limits per address without Access.DescriptorsMax")
	}
	reason := reasons.RequestAddressRate
	s.tooFast = reason.RefusalsFrom(max(reason.Retry(), int(math.Ceil(a.Addresses.RetryAfter().Seconds()))))
	if !a.PrivateFDTables {
		s.clients = slab.NewSparse[access.Key](a.DescriptorsMax)
	}
	return s
}

// Clients are whom the connections of a loop are counted under.
type Clients struct {
	*Shared
	table *slab.Sparse[access.Key] // nil if nothing is counted
}

// NewClients makes those of a loop.
func (s *Shared) NewClients() Clients {
	if s.Addresses != nil && s.PrivateFDTables {
		return Clients{s, slab.NewSparse[access.Key](s.DescriptorsMax)}
	}
	return Clients{s, s.clients}
}

// Admit counts fd under its client's address, or says why not, and with what answer.
func (c *Clients) Admit(fd uint32, client netip.Addr, now int64) (reason reasons.Reason, answer []byte) {
	key := access.KeyOf(client)
	if c.table == nil || key == 0 {
		return reasons.None, nil
	}
	switch c.Addresses.Admit(key, now) {
	case access.TooMany:
		return reasons.RequestAddressConnections, reasons.RequestAddressConnections.Refusal()
	case access.TooFast:
		return reasons.RequestAddressRate, reasons.AnyOf(c.tooFast)
	}
	*c.table.Make(fd) = key
	return reasons.None, nil
}

// Release counts fd off, which is about to be closed.
func (c *Clients) Release(fd uint32, now int64) {
	if c.table == nil {
		return
	}
	if key := c.table.Make(fd); *key != 0 {
		c.Addresses.Release(*key, now)
		*key = 0
	}
}
