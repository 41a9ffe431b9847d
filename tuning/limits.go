package tuning

import "time"

// The figures of the room, with their units and their reasons. docs/internals/tuning.md has the
// formulas that they stand in, and what memory is made of.
const (
	// PortsDefault is how many ports the server listens on unless told
	// otherwise: 10000 to 11000.
	PortsDefault = 1001
	// portDefault is the first of them, portMax the last there is.
	portDefault, portMax = 10_000, 65_535

	// kernelBytesPerConnection is what an idle accepted socket in epoll costs
	// the kernel, measured on Linux 6.18. Idle sockets hold no buffer pages.
	kernelBytesPerConnection = 4029
	// processBytesPerConnection is the server's resident memory per connection
	// on a shared channel: its record, and its share of the tables.
	processBytesPerConnection = 64
	// channelBytesPerConnection comes on top when a connection is the only
	// subscriber of its channel: name, registry entry, member list.
	channelBytesPerConnection = 100
	// processBytesBase is the server without loops and connections: the Go
	// runtime, metrics, the bus.
	processBytesBase = 24 << 20
	// processBytesPerLoop is a locked thread, its stack and its mailbox.
	processBytesPerLoop = 64 << 10

	// kernelBytesPerListener is a listening socket in a lane's epoll, measured
	// with 100 ports and 190 loops; an IPv4 listener has 120 less.
	kernelBytesPerListener = 4030
	// kernelBytesPerPort comes on top once for each port: its SO_REUSEPORT
	// group (2 KiB up to 128 listeners) and two bind buckets.
	kernelBytesPerPort = 2304

	// memoryReserveFraction of the memory, at least memoryReserveBytesMin, is
	// kept back for socket buffers of a broadcast under way and for the rest
	// of the host. tcp_mem's default ceiling is of the same size (3/32).
	memoryReserveFraction = 16
	memoryReserveBytesMin = 256 << 20

	// memoryLookSeconds is how often a MemoryGuard looks. In a second 30,000
	// newcomers take 120 MiB, which is less than what it still keeps back then.
	memoryLookSeconds = 1
	// memoryRestSeconds is the same while the server does nothing: others on the host, or in
	// the cgroup, may take memory.
	memoryRestSeconds = 16
	// memoryRelieveLooks is how often a collection is forced while memory is
	// short: its own pace depends on what is allocated, which may be nothing by
	// then, so that garbage would keep newcomers out for minutes.
	memoryRelieveLooks = 3
	// tcpWmemMaxDefault is the kernel's net.ipv4.tcp_wmem[2] (tcp(7)).
	tcpWmemMaxDefault = 4 << 20

	// fdReserve is how many descriptors of a table are left for what is
	// neither a connection nor a listener nor a loop's own: standard streams,
	// the runtime's poller, the bus, the admin port's clients, log files.
	fdReserve = 256
	// fdsPerLoop is a loop's epoll and its wake-up eventfd.
	fdsPerLoop = 2
	// spreadDeviations is the slack for uneven filling of the lanes, in
	// standard deviations: at 6, one lane in a thousand million overflows.
	spreadDeviations = 6
	// listenersPerPortMax is the largest SO_REUSEPORT group: it starts at 128
	// and doubles while below 65,536 (reuseport_grow, sock_reuseport.c).
	listenersPerPortMax = 1 << 15

	// filesReserve is the rest of the host's open files (fs.file-max counts
	// all processes), and watchesReserve the same user's other epolls.
	filesReserve   = 65536
	watchesReserve = 4096
	// threadsReserve is the Go runtime's threads beside the loops.
	threadsReserve = 64

	// drainSeconds is over which a planned stop closes all connections, and so
	// how fast they come back to the next server: N/30 a second.
	drainSeconds = 30
	// backlogMin and backlogMax bound the length of an accept queue: shorter
	// saves nothing, longer does not fit 16 bits on older kernels.
	backlogMin = 1024
	backlogMax = 65535

	// sendsPerCoreSecond is how many small sends one core makes (measured:
	// 100,000 to 130,000), and roundTripMillis how long a frame stays in the
	// send queue until its acknowledgement is there.
	sendsPerCoreSecond = 100_000
	roundTripMillis    = 250
	// stuckPerCent of all readers are stuck at any time (a peer that is gone is
	// so for the write deadline of 30 s), each with a full send buffer of the
	// initial size (tcp_wmem[1], 16 KiB, tcp(7)). At 2, a host filled to
	// DefaultMaxConnections would need more than the kernel's own tcp_mem,
	// which is a sixteenth of the memory as well.
	stuckPerCent        = 1
	stuckPagesPerSocket = 4
	pageBytes           = 4096

	// softirqStallMillis is how long a busy core may leave its backlog alone
	// (ksoftirqd waits for its turn of the scheduler like any thread).
	softirqStallMillis = 100
	netdevBacklogMin   = 1000

	// hashChainMax is the average length of a chain of the established hash
	// above which lookups are felt. At 48 a stream loses 11 %, at 4 nothing
	// that can be measured (the kernel's commit d1e5e6408b30 has the table).
	hashChainMax   = 4
	hashEntriesMax = 1 << 24

	// mapsBase is what the Go runtime and the loaded files need of
	// vm.max_map_count; recordsPerMap is a cautious guess of how many records
	// share a mapping, mapsPerLoop of what a loop maps beside.
	mapsBase      = 2000
	recordsPerMap = 4096
	mapsPerLoop   = 8

	// pacePeriod is how often a pacer looks while somebody sweeps: a device's
	// queue of 1,000 packets is 10 ms of a sweep. It costs some 100 us.
	// After pacerIdlePeriods of them in which nobody did, it sleeps until somebody does.
	pacePeriod       = 10 * time.Millisecond
	pacerIdlePeriods = 50
	// paceRateMax and paceRateMin are writes a second: more than any host makes,
	// and what any device carries, so that no false alarm stops a sweep.
	paceRateMax = 10e6
	paceRateMin = 10_000.0
	// paceWindowFirst, Min and Max are pages. The first is what queues of network
	// cards and their schedulers hold (1,000 to 10,000 packets); the last is 4 GiB,
	// which net.ipv4.tcp_mem bounds long before.
	paceWindowFirst = 4096.0
	paceWindowMin   = 512.0
	paceWindowMax   = float64(1 << 20)
	// paceGrowth of the window is added in a period in which it was used: it doubles
	// in 0.7 s. From paceNear of where the last loss was, it is paceProbe, a
	// tenth in a second: there is the limit, as a rule, and to look whether it has
	// moved costs what is lost then. paceCut remains of it after a loss, as in CUBIC (RFC 9438), and
	// paceRestSeconds is how long until the next: what was lost then is sent
	// again after 0.2 s, and is the same loss.
	paceGrowth      = 0.01
	paceProbe       = 0.001
	paceNear        = 0.7
	paceCut         = 0.7
	paceRestSeconds = 0.3
	// paceAgainRestSeconds more are until segments that are sent again count: TCP
	// sends what was lost once again and again, for some seconds.
	paceAgainRestSeconds = 3.0
	// paceBudgetMin is what may be written in a period when the window is full:
	// the rate then bounds it, and nothing stands still for a wrong number.
	paceBudgetMin = 128.0
	// paceQueueSeconds in queues on the way is enough for a device never to be idle,
	// though both sides look away for a slice of the scheduler's; twice that is too
	// much, since pings and messages to few stand in the same queue. What a trip takes
	// without a queue is the shortest in paceTripSeconds, of means over 0.2 s.
	// Of long trips it is paceQueueShare that may be a queue: while a window grows,
	// acknowledgements are behind by that much.
	paceQueueSeconds  = 0.02
	paceQueueShare    = 0.5
	paceTripSeconds   = 10.0
	paceTripSmoothing = 0.05
	// paceAhead is for how many seconds a sweep that nothing holds up may go on
	// without a look: on a host that is short of processors the pacer comes late.
	paceAhead = 0.05
	// paceSmoothing is the part of a new look in the mean.
	paceSmoothing = 0.3
	// paceRoomMin of the drain is written when the window is overfull.
	paceRoomMin = 0.25
	// paceQuietSeconds without a sweep: what is held then is nobody's of ours.
	paceQuietSeconds = 0.5
	// paceOverSeconds with more under way than the window, though a quarter of what
	// drains is written: it does not drain.
	paceOverSeconds = 0.5
	// paceDropShare of the writes dropped by a device, and paceAgainShare of the
	// segments sent again (and more than paceAgainMin in a period), are a loss that
	// we cause. Phones lose one or two in a hundred by themselves.
	paceDropShare  = 0.001
	paceAgainShare = 0.05
	paceAgainMin   = 50.0

	// ConnectionsMax bounds what may be asked for: beyond it arithmetic, not
	// the host, would be examined.
	ConnectionsMax = 1 << 32
	// connectionsUnknownHost is the default limit when nothing can be read:
	// 0.4 GiB, which any host that runs this server has.
	connectionsUnknownHost = 100_000
)
