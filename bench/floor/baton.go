package main

// A baton goes through the threads of a sender in their order: whoever has it
// works, and hands it on when it is done, so that only one works at a time.
type baton struct {
	// Fixed after construction. Each channel has one sender and one receiver.
	turns []chan leg
	home  chan error
}

// A leg is the baton on its way, with what the threads need.
type leg struct {
	frame []byte // lent until the baton is home
	err   error  // of the first thread that failed; nobody works any more
}

func newBaton(threads int) *baton {
	b := &baton{home: make(chan error)}
	for range threads {
		b.turns = append(b.turns, make(chan leg))
	}
	return b
}

// pass sends the baton round once and returns when it is back.
func (b *baton) pass(frame []byte) error {
	b.turns[0] <- leg{frame: frame}
	return <-b.home
}

// serve is the life of thread index: it works whenever it gets the baton.
func (b *baton) serve(index int, work func(frame []byte) error) {
	for l := range b.turns[index] {
		if l.err == nil {
			l.err = work(l.frame)
		}
		if index+1 < len(b.turns) {
			b.turns[index+1] <- l
			continue
		}
		b.home <- l.err
	}
}
