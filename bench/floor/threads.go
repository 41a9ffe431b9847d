package main

import (
	"c10m/poller"
	"c10m/poller/epoll"
)

// startThreads runs work on n locked threads, each with a descriptor table of
// its own if private, and returns when all have been started. The threads are
// the poller's, since its rules for private tables are many (package poller);
// but work never comes back to them, so nothing of the poller runs, and each
// costs two descriptors.
func startThreads(n int, private bool, limit int, work func(index int)) error {
	p := poller.New(poller.Config{Loops: n, NewHandler: func(*poller.Loop) poller.Handler { return nobody{} }})
	if _, err := epoll.Start(p, epoll.Config{Loops: n, PrivateFDTables: private, DescriptorsMax: limit}); err != nil {
		p.Stop()
		return err
	}
	for _, loop := range p.Loops() {
		loop.Run(func(l *poller.Loop) {
			work(l.ID())
			select {} // the thread is the work's until the process ends
		})
	}
	return nil
}

// nobody is the handler of loops without connections.
type nobody struct{}

func (nobody) Open(uint32, poller.Tag)    { panic("BUG: a thread accepted through the poller") }
func (nobody) Event(uint32, poller.Event) { panic("BUG: a thread polls through the poller") }
func (nobody) Letter(any)                 { panic("BUG: a letter to a thread") }
func (nobody) Closed(uint32)              {}
func (nobody) Full() bool                 { return false }
func (nobody) Work() bool                 { return false }
func (nobody) Tick() int64                { return 1 << 62 }
