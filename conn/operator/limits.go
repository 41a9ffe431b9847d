package operator

// The limits of the room, with their reasons.
const (
	// disconnectLooksPerTickMax bounds the connections that a tick looks at for
	// those of a channel that the operator disconnects: 33 ns each, 0.27 ms where
	// there is none (go test -bench DisconnectLooks ./conn). disconnectsMax is how many channels may wait for
	// that, clientsPerLoopMax how many clients of a channel an operator is shown of
	// each loop, each with a system call.
	disconnectLooksPerTickMax = 8 << 10
	disconnectsMax            = 8
	clientsPerLoopMax         = 64
)
