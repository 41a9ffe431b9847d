/*
Package operator is what somebody who runs the server sees of the loops' connections, and
whom he disconnects. It knows no session: a loop's part has the loop, its registry, and
three questions to its sessions (Sessions).

	operator.go    what the loops tell: slow clients, last closes, busy and large channels
	disconnect.go  one client, or all of a channel, evenly over a time

An Operator may be used from any goroutine but a loop's. A Loop belongs to its loop, but
for disconnecting, which is atomic. Both are in order when a loop is slow: who asks gets
the answers of the others.
*/
package operator
