// Package operator is what somebody who runs the server sees of the loops' connections
// (operator.go), and whom he disconnects (disconnect.go). It knows no session: a loop's
// part has the loop, its registry, and three questions to its sessions.
package operator
