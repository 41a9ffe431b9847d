package channel

// A Publisher takes what one loop's clients publish, on that loop's thread, to
// goroutines that hand it to the bus in the order in which it came.
type Publisher interface {
	// Publish takes a message and copies both slices. It never blocks. false:
	// it was not taken, since what is under way is at its hard limit. from names
	// the connection to Feedback.PublishFailed.
	Publish(from uint64, channel, payload []byte) (taken bool)
	// PublishAnswered is Publish for somebody who waits for Feedback.Published, and
	// is not told by PublishFailed. A key that is not empty has the message published
	// once, however often it comes; it is copied, too.
	PublishAnswered(from uint64, channel, key, payload []byte) (taken bool)
	// Full reports that enough is under way: who would publish more should not
	// be read from. After a true, Feedback.Room is called when there is room.
	Full() bool
}

// A PromptPublisher can publish at once.
type PromptPublisher interface {
	Publisher
	// PublishNow is PublishAnswered with the answer, or nothing was done: what cannot be
	// published at once goes by PublishAnswered. The outcome has the arguments, which are
	// lent. It overtakes what was taken before and is under way, if there is any (IsQuiet),
	// and answers that Feedback.Published has still to give.
	PublishNow(channel, key, payload []byte) (o Outcome, ok bool)
	IsQuiet() bool
	// IsBacklogged reports, as Full does, that who says messages without waiting for
	// answers should not be read from.
	IsBacklogged() bool
}

// Feedback is how a Publisher's goroutines speak to its loop. They may call it
// at any time.
type Feedback interface {
	// Room: after Full was true, it is worth asking again.
	Room()
	// PublishFailed: the bus did not take these messages, or did not say whether it
	// took them. It keeps the slice.
	PublishFailed(failed []Outcome)
	// Published: this became of messages of PublishAnswered. Those of one connection
	// come in the order in which they were taken. It keeps the slice.
	Published(outcomes []Outcome)
}
