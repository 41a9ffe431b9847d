package poller

import "fmt"

// A Guest speaks on a connection that is none of the Handler's. It is another room's, which
// lends it to a loop for as long as what it says is best answered there, and gets it back. The
// handler never hears of it, no walk comes to it, and it is not in Connections.
type Guest interface {
	// Lent says, on the loop's thread as all of them, that the loop has it.
	Lent(l *Loop, number uint32)
	// Readable says that there is something to read, or the end of
	// the stream, or an error. It may call Loop.Recv and Send, and Return. It is called again
	// while there is more.
	Readable(l *Loop, number uint32)
	// Returned says that the loop has let go of the connection, which is open. It must not
	// block.
	Returned()
}

// A Host is an Engine that takes connections which somebody else opened, by the number that
// they have there: a descriptor.
type Host interface {
	Engine
	// Watch has Wait tell of a connection that has a record from now on. false: there is no
	// room for it, and nothing was done. Unwatch ends that, and leaves the connection open.
	Watch(number uint32) bool
	Unwatch(number uint32)
}

// Lend gives a connection to the loop, whose engine has to be a Host. It is returned at once
// if there is no room. A loop that has ended returns nothing. Any goroutine may call it.
func (l *Loop) Lend(number uint32, g Guest) {
	l.Run(func(*Loop) {
		if l.stop.Load() || !l.engine.(Host).Watch(number) {
			g.Returned()
			return
		}
		l.guests[number] = g
		g.Lent(l, number)
	})
}

// Recall has the loop return a guest, if it still has it. Any goroutine may call it.
func (l *Loop) Recall(number uint32, g Guest) {
	l.Run(func(*Loop) {
		if l.guests[number] == g {
			l.Return(number)
		}
	})
}

// Return ends the stay of a guest.
func (l *Loop) Return(number uint32) {
	g := l.guests[number]
	delete(l.guests, number)
	l.engine.(Host).Unwatch(number)
	g.Returned()
}

func (l *Loop) returnAll() {
	for number := range l.guests {
		l.Return(number)
	}
}

// Mark gives the record of a connection that the loop has from now on a generation of its
// own. It is for the engine.
func (l *Loop) Mark(number uint32) {
	record := l.engine.Record(number)
	if record.Flags != 0 {
		panic(fmt.Sprintf("BUG: loop %d got connection %d, which is open already", l.id, number))
	}
	l.generations++
	if l.generations == 0 {
		l.generations = 1
	}
	*record = Record{Generation: l.generations, Flags: FlagOpen}
}
