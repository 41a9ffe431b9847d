package main

import "time"

const (
	// setUpTimeout bounds the start of both children and all connects.
	setUpTimeout = 120 * time.Second
	// roundSlack is what one measurement may take beyond its seconds: the
	// last messages and their stall timeout.
	roundSlack = 15 * time.Second
	// warmUp is sent before a measurement and not counted: caches, congestion
	// windows and the branch predictor have just served the other side.
	warmUp = 300 * time.Millisecond
	// readyPause is between two looks whether the server listens.
	readyPause = 20 * time.Millisecond
	// senderBacklog is clamped by net.core.somaxconn.
	senderBacklog = 1 << 16
)
