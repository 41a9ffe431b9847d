// Package tuning knows what a host must allow so that the server can hold so
// many connections: it raises what the process may raise itself, decides what
// the host does not, and tells the operator the rest.
//
// # Who calls what
//
//	at the start of the server   RaiseNofile, DefaultMaxConnections, Plan,
//	                             CPUs, GOMAXPROCS, ShortSlices, Warnings
//	10m-server doctor            Doctor
//	while the server runs        MemoryGuard, once a second while they are busy, off the loops;
//	                             Pacer, every 10 ms while somebody sweeps
//
// Nothing else is called again while the server runs, and nothing is kept: all
// functions read the host anew and may be called from any goroutine. Only
// [RaiseNofile], [ShortSlices] and [Apply] change anything.
//
// # What is read
//
// All reading goes through [Host], two fs.FS at /proc and /sys. What is
// missing, unreadable or not a number is the verdict "unknown", never an
// error: a container hides half of /proc, and the doctor is for exactly those
// hosts. Limits that are unknown are taken to be enough, memory that is
// unknown to be little.
//
// # The pace of sweeps
//
// A [Pacer] does for all connections what TCP's congestion control does for one: a window
// bounds the pages that TCP holds, less those that it holds while nobody sweeps. All that it
// reads is of the network namespace, but for the pages, which are the host's: a neighbour
// that sends much looks like a slow network until the window has grown past it.
//
// # Limits
//
//   - A [MemoryGuard] looks once a second, and every 16 while the loops do nothing. What comes in between is not seen.
//   - It keeps newcomers out and nothing else. What grows without newcomers is
//     bounded elsewhere: logs by --log-bytes-total, socket buffers by --send-buffer
//     for each connection and by net.ipv4.tcp_mem for all.
//   - Cgroup v1 does not count socket buffers as memory (memory.kmem.tcp does), v2
//     does.
//   - MemAvailable is the memory of now. A server that starts beside an old one
//     which still drains finds little, and should be given --max-connections.
//   - Verdicts on memory are against all memory there is, with advice if it is
//     not free now, so that the doctor says the same beside a full server.
//   - fs.file-max, max_user_watches and conntrack count other processes too.
//     What those use now is not subtracted: the answer is to last, and to be
//     the same before and after. A load client on the same host doubles the need.
//   - A nofile limit holds for the process that asks. The doctor shows its own,
//     which is the server's only if both are started alike.
//   - 64-bit hosts only.
//
// # What looks wrong but is deliberate
//
//   - [RaiseNofile] leaves a soft limit of hard-1 alone. Go's runtime has set
//     that at start, and gives child processes the old one back as long as
//     nobody touches it (syscall/rlimit.go).
//   - The hard limit is never raised, though root could: it is the operator's.
//   - fs.nr_open does not matter with private tables, and tcp_max_syn_backlog
//     does not with syncookies.
//   - fs.file-max does not limit a server with CAP_SYS_ADMIN in the initial user
//     namespace: the kernel exempts it. The doctor still gives advice, since the
//     server may run as somebody else. epoll's limit exempts nobody.
//   - A loaded conntrack with an empty table is no limit: its hooks are put in by
//     the first rule that asks for them.
//   - somaxconn does not count ports. Clients may all use one.
//   - WriteSysctl prints what is enough already as a comment. tcp_mem and
//     max_user_watches grow with the memory at boot; a smaller number in a file
//     would take that away again.
//   - DefaultMaxConnections is never 0, which reads like "no limit".
//   - TCP keepalive is not examined: idle peers are found by the server's pings.
//
// docs/internals/tuning.md has all formulas in a table, what was measured, and what was
// tried and dropped.
package tuning
