package scenario

import "time"

const (
	// settleQuiet is how long nothing may arrive, with messages still missing,
	// until these count as lost.
	settleQuiet = 3 * time.Second
	// settlePause is between two looks at what is missing.
	settlePause = 50 * time.Millisecond
	// surplusWait is how long the client goes on listening when everything
	// has come, so that one too many is seen.
	surplusWait = 250 * time.Millisecond
	// lateNanos is from when on a message counts as late: twice what a thread
	// of a busy host takes to wake up.
	lateNanos = int64(time.Millisecond)
	// publishBatchMax bounds the messages of one write to the bus.
	publishBatchMax = 1024
	// publishSleepMax is how late a publisher notices that it is to end.
	publishSleepMax = int64(100 * time.Millisecond)
	// probesMax and probesShare: enough probes for a steady p99, few enough
	// not to change what the others see.
	probesMax   = 1000
	probesShare = 100
	// samplesMin and samplesShare are of the kernel's sockets beside ends in user
	// space: enough for a p99, few enough not to fill the memory.
	samplesMin   = 100
	samplesShare = 100
	// recoverMax is what a storm may take beyond its jitter, and servedMax
	// what the first message to everybody may take beyond that.
	recoverMax = 5 * time.Minute
	servedMax  = time.Minute
	// backMax is how long those that left last may take to come back.
	backMax = 30 * time.Second
	// disconnectMax and disconnectEachMax are what a server may take to let go of those
	// that ended at once, and its host to have their memory back. 48,500 took 9 us each
	// (SCENARIOS=disconnect make five-million N=50000, on two processors).
	disconnectMax     = 2 * time.Minute
	disconnectEachMax = 100 * time.Microsecond
	// lookPause is between two looks at what the server has let go of, and at the
	// host's memory. The first asks every loop of the server.
	lookPause = 100 * time.Millisecond
	// postsWarmUp is before posts count, answerMax how long the last answers may take.
	postsWarmUp = time.Second
	answerMax   = 30 * time.Second
	// depthMax bounds what a connection writes before it reads, which may be more than
	// what both ends hold of it: with 64 bytes each it is less than 128 KB.
	depthMax = 1024
	// shortestSample is 20 of the kernel's ticks.
	shortestSample = 200 * time.Millisecond
)
