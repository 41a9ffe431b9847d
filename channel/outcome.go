package channel

// A Fate is what became of a message on its way to the bus.
type Fate uint8

const (
	FatePublished   Fate = iota // the bus took it
	FateUnpublished             // it did not, for sure
	FateUnconfirmed             // it did not answer, and may have taken it
	FateKeyReused               // its key was another message's: not published
)

// An Outcome is what became of a message whose publisher waits for an answer.
type Outcome struct {
	// From names who waits, as he named himself.
	From uint64
	// Channel is where it was published, and Key what its publisher called it, empty if
	// it has none. They are not changed any more.
	Channel, Key []byte
	Fate         Fate
	// Connections is the number of connections of this process that it goes to,
	// or, where the bus brings it later, that its channel has now.
	Connections int
	// Subscribers is the number of RESP subscribers that it went to.
	Subscribers int
	// ID is the message's, empty if it is not known here.
	ID string
}
