package tuning

import "fmt"

// The checks, in the order in which a server meets them: what it may open,
// what it may keep, how fast it may be met, what lingers, and the rest.

// told is a number as the host tells it, if it does.
func told(v int64, ok bool) string {
	if !ok {
		return "?"
	}
	return count(v)
}

// notNeeded adds the check of a setting that does not bind this server on this host.
func (x *examination) notNeeded(c Check, now, remark string) {
	c.Now, c.Need, c.Verdict, c.Remark = now, "-", NotNeeded, remark
	x.add(c)
}

// descriptors: RLIMIT_NOFILE, fs.nr_open, fs.file-max, epoll's limit.
func (x *examination) descriptors() {
	x.nofileChecks()
	x.nrOpen()
	files, grade := Check{Setting: "fs.file-max", Why: "accept fails with ENFILE, counted over all processes of the host"}, Low
	if x.host.aboveFileMax() {
		grade = Advice
		files.Remark = "whoever asks here has CAP_SYS_ADMIN and is exempt; a server without it is not"
	}
	x.atLeast(files, x.load.needFiles(), grade)
	x.enough("fs.epoll.max_user_watches", x.load.needWatches(), Low, "epoll takes no more connections (ENOSPC), counted over all processes of this user")
}

func (x *examination) nofileChecks() {
	shared := sharedFDs(x.want.Connections, x.want.Ports, x.plan.Loops)
	hard := Check{
		Setting: "nofile (hard)", Now: count(x.nofile.Hard), Need: count(shared), Verdict: OK,
		Why: "accept fails with EMFILE",
		Fix: fmt.Sprintf("LimitNOFILE=%d in the systemd unit, or ulimit -Hn %d as root before the start", shared, shared),
	}
	soft := Check{
		Setting: "nofile (soft)", Now: count(x.nofile.Soft), Need: count(shared), Verdict: OK,
		Remark: "the server raises it to the hard limit itself",
	}
	switch {
	case x.planErr != nil:
		hard.Verdict, hard.Why, hard.Fix = Low, x.planErr.Error(), ""
	case x.plan.Private:
		hard.Need = fmt.Sprintf("any, %s loops", count(x.plan.Loops))
		hard.Remark = fmt.Sprintf("a private fd table for each loop: the limit holds per loop, of which %s hold up to %s connections each",
			count(x.plan.Loops), count(x.plan.PerLoopMax))
		soft.Need = "hard"
	default:
		hard.Remark = "one fd table for all loops; above the limit the server would take a private one for each loop"
		if x.want.FDTables == FDShared {
			hard.Remark = "one fd table for all loops; --fd-tables private gets past this limit"
		}
	}
	if !x.nofileKnown {
		hard.Now, soft.Now = "?", "?"
		hard.Verdict, soft.Verdict = Unknown, Unknown
	}
	x.add(hard)
	x.add(soft)
}

// nrOpen is the ceiling of RLIMIT_NOFILE (proc_sys_fs(5)). A hard limit above
// it cannot be set, and a table does not grow beyond it (expand_files).
func (x *examination) nrOpen() {
	c := Check{Setting: "fs.nr_open", Why: "no nofile limit can be set above it, and no fd table grows beyond it"}
	now, ok := x.host.sysctl(c.Setting)
	if x.plan.Private || x.planErr != nil {
		x.notNeeded(c, told(now, ok), "with a private fd table for each loop no table is that large")
		return
	}
	need := sharedFDs(x.want.Connections, x.want.Ports, x.plan.Loops)
	x.judge(c, now, ok, roundUp(int64(need)), Low)
}

// queues: where newcomers and acknowledgements wait.
func (x *examination) queues() {
	x.atLeast(Check{
		Setting: "net.core.somaxconn",
		Why:     "when all clients come back at once, newcomers beyond the queue are dropped and try again a second later",
		warn:    true,
	}, x.load.needBacklog(), Advice)
	x.synBacklog()
	x.enough("net.core.netdev_max_backlog", x.load.needNetdevBacklog(), Advice,
		"acknowledgements of a fan-out are dropped on loopback, veth and RPS queues, and frames are sent twice")
}

// synBacklog: with cookies on, the kernel looks at the listener's own backlog
// alone and answers what is beyond with a cookie (tcp_conn_request).
func (x *examination) synBacklog() {
	c := Check{
		Setting: "net.ipv4.tcp_max_syn_backlog",
		Why:     "half-open connections beyond three quarters of it are dropped, since net.ipv4.tcp_syncookies is 0",
	}
	cookies, ok := x.host.sysctl("net.ipv4.tcp_syncookies")
	if !ok || cookies == 0 {
		x.atLeast(c, x.load.needSynBacklog(), Advice)
		return
	}
	x.notNeeded(c, told(x.host.sysctl(c.Setting)),
		"the kernel looks at it only with net.ipv4.tcp_syncookies=0; with cookies on, net.core.somaxconn is what counts")
}

// tables: what the kernel looks connections up in, and what outlives them.
func (x *examination) tables() {
	x.ehash()
	x.conntrack()
	x.enough("net.ipv4.tcp_max_orphans", x.load.needOrphans(), Advice, "if the process dies, connections beyond it are reset instead of closed")
	x.enough("net.ipv4.tcp_max_tw_buckets", x.load.needTimeWait(), Advice, "after a drain, TIME_WAIT is cut short for connections beyond it")
	x.enough("net.ipv4.tcp_migrate_req", 1, Advice, "when another server replaces this one, handshakes that take longer than 0.9 s are reset instead of handed over")
}

// ehash cannot be changed while the host runs: it is sized at boot (at most
// 512 Ki buckets unless told otherwise) or when a network namespace is made.
// A negative number is the initial namespace's table, seen from a child
// without its own (ip-sysctl.rst).
func (x *examination) ehash() {
	need := x.load.needHash()
	c := Check{
		Setting: "net.ipv4.tcp_ehash_entries", Need: count(need), Verdict: OK,
		Why: fmt.Sprintf("more than %d sockets to a bucket, which costs 9 to 15 %% of the connect rate", hashChainMax),
		Fix: fmt.Sprintf("thash_entries=%d on the kernel's command line, or sysctl -w net.ipv4.tcp_child_ehash_entries=%d before the server's network namespace is made", need, need),
	}
	now, ok := x.host.sysctl(c.Setting)
	if now < 0 {
		now, c.Remark = -now, "shared with the initial network namespace"
	}
	c.Now = told(now, ok)
	switch {
	case !ok:
		c.Verdict = Unknown
		c.Remark = "kernels before 6.1 do not say it here, but in the boot log (\"TCP established hash table entries\")"
	case now < need:
		c.Verdict = Advice
	}
	x.add(c)
}

// conntrack binds only while netfilter really tracks: since Linux 4.10 the
// hooks are put in by the first rule that asks for them, so a loaded module
// with an empty table is no limit.
func (x *examination) conntrack() {
	c := Check{
		Setting: "net.netfilter.nf_conntrack_max",
		Why:     "new connections are dropped (\"nf_conntrack: table full\"); nf_conntrack_buckets should be a quarter of it, or exempt the ports with a notrack rule",
	}
	now, loaded := x.host.sysctl(c.Setting)
	if !loaded {
		x.notNeeded(c, "not loaded", "")
		return
	}
	need := x.load.needConntrack()
	if tracked, ok := x.host.sysctl("net.netfilter.nf_conntrack_count"); ok && tracked == 0 {
		x.notNeeded(c, count(now), fmt.Sprintf("loaded, but it tracks nothing; once a firewall rule makes it, %s are needed", count(need)))
		return
	}
	x.judge(c, now, true, need, Low)
}
