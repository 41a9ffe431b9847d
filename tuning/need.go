package tuning

// Want is what the host is asked to carry.
type Want struct {
	Connections int    // 0: what memory and limits allow
	Ports       int    // listening ports; 0: PortsDefault
	Listen      []int  // which they are; nil: from portDefault on
	Loops       int    // --loops; 0 chooses
	FDTables    string // --fd-tables; empty is FDAuto
}

// load is a Want with everything decided: the argument of all formulas.
type load struct {
	connections int64
	ports       int64
	loops       int64
	lanes       int64
	cores       int64
	private     bool
}

func (l load) listeners() int64 { return l.ports * l.lanes }

// needFiles is fs.file-max: "the maximum number of file handles that the Linux
// kernel will allocate" (admin-guide/sysctl/fs.rst), over all processes. A
// descriptor that is in several private tables is one file all the same. What
// is open now is not added: the answer must not change with the server running.
func (l load) needFiles() int64 {
	return roundUp(l.connections + l.listeners() + fdsPerLoop*l.loops + filesReserve)
}

// needWatches is fs.epoll.max_user_watches: "a limit on the total number of
// file descriptors that a user can register across all epoll instances"
// (epoll(7)); beyond it epoll_ctl fails with ENOSPC, for root as well.
func (l load) needWatches() int64 {
	return roundUp(l.connections + l.listeners() + l.loops + l.lanes + watchesReserve)
}

// needBacklog is net.core.somaxconn, which clamps every listen(2). After a
// drain all clients come back within drainSeconds, and a loop that is busy for
// a second must not lose them: N/30 in the queues of the lanes. Ports are not
// counted, since clients may well share one.
func (l load) needBacklog() int64 {
	burst := l.connections / (drainSeconds * l.lanes)
	return min(max(powerOfTwo(burst), backlogMin), backlogMax)
}

// needSynBacklog is net.ipv4.tcp_max_syn_backlog, of which the last quarter is
// kept for known peers (tcp_conn_request, tcp_input.c).
func (l load) needSynBacklog() int64 { return roundUp(l.needBacklog() * 4 / 3) }

// needTCPPages is net.ipv4.tcp_mem in pages. Idle sockets hold none, so the
// number of connections as such asks for nothing. What does hold pages is
// frames that are not acknowledged yet, at least a page for each socket
// (sk_mem_schedule charges whole pages): what all cores send in one round
// trip, and the full send buffers of the readers that are stuck.
func (l load) needTCPPages() int64 {
	inFlight := min(l.connections, l.cores*sendsPerCoreSecond*roundTripMillis/1000)
	stuck := l.connections * stuckPerCent / 100 * stuckPagesPerSocket
	return roundUp(inFlight + stuck)
}

// needHash is the number of buckets of the established hash.
func (l load) needHash() int64 {
	return min(powerOfTwo(l.connections/hashChainMax), hashEntriesMax)
}

// needOrphans is net.ipv4.tcp_max_orphans: sockets without a process (tcp(7)).
// A process that dies orphans all of its connections at once; those beyond the
// limit are reset instead of closed.
func (l load) needOrphans() int64 { return roundUp(l.connections) }

// needTimeWait is net.ipv4.tcp_max_tw_buckets. A drain closes all connections
// from this side in 30 s and TIME_WAIT lasts 60 s (TCP_TIMEWAIT_LEN), so all
// of them are in it together.
func (l load) needTimeWait() int64 { return roundUp(l.connections) }

// needNetdevBacklog is net.core.netdev_max_backlog: packets per core from
// devices without NAPI of their own (loopback, veth, and whatever RPS moves).
// A fan-out is answered with an acknowledgement each, and they pile up while
// the core is busy; no more than one for each connection.
func (l load) needNetdevBacklog() int64 {
	burst := min(l.connections, sendsPerCoreSecond*softirqStallMillis/1000)
	return max(powerOfTwo(burst), netdevBacklogMin)
}

// needConntrack is net.netfilter.nf_conntrack_max: every connection, a quarter
// for closed ones that linger (TIME_WAIT entries stay 120 s), and the host's.
func (l load) needConntrack() int64 {
	return roundUp(l.connections + l.connections/4 + filesReserve)
}

// needMaps is vm.max_map_count.
func (l load) needMaps() int64 {
	return roundUp(mapsBase + l.connections/recordsPerMap + mapsPerLoop*l.loops)
}

// needThreads is what a cgroup's pids.max must allow: a thread for each loop.
func (l load) needThreads() int64 { return l.loops + threadsReserve }

// Estimate is the memory that the connections take, in bytes. Kernel and
// process are apart because they are seen in different places: the process's
// part is its RSS, the kernel's is in /proc/slabinfo and in the cgroup's use.
type Estimate struct {
	KernelSockets   int64 `json:"kernelSocketsBytes"`
	KernelListeners int64 `json:"kernelListenersBytes"`
	// Process has all connections on a few channels, ProcessChannels has each
	// on a channel of its own.
	Process         int64 `json:"processBytes"`
	ProcessChannels int64 `json:"processChannelsBytes"`
	// Buffers is what sockets may hold on top while a broadcast is under way.
	// It is taken from the reserve.
	Buffers int64 `json:"buffersBytes"`
	// Total is the kernel's part and ProcessChannels.
	Total int64 `json:"totalBytes"`
}

func (l load) estimate() Estimate {
	e := Estimate{
		KernelSockets:   l.connections * kernelBytesPerConnection,
		KernelListeners: l.listeners()*kernelBytesPerListener + l.ports*kernelBytesPerPort,
		Process:         processBytesBase + l.loops*processBytesPerLoop + l.connections*processBytesPerConnection,
		Buffers:         l.needTCPPages() * pageBytes,
	}
	e.ProcessChannels = e.Process + l.connections*channelBytesPerConnection
	e.Total = e.KernelSockets + e.KernelListeners + e.ProcessChannels
	return e
}

// reserve is what of so much memory is not given to connections.
func reserve(memory int64) int64 {
	return max(memory/memoryReserveFraction, memoryReserveBytesMin)
}
