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
