// Package child starts programs that end with the one that started them,
// whatever happens to it: servers and clients of the comparisons and of tests.
//
//	ports, err := child.FreePorts(1)
//	c, err := child.Start(exec.Command("server", ...), child.Kill)
//	defer c.Stop()
//	err = c.AwaitListener(ctx, address)
//
// Every child leads a process group of its own, so that what it started in turn
// ends with it, too; nothing outside of that group gets a signal.
//
// # What looks wrong but is deliberate
//
// The goroutine that starts a child keeps its thread until the child is gone:
// PR_SET_PDEATHSIG follows the thread that made the child and not the process,
// and the loops of a load client end their threads.
package child
