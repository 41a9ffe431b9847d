# What scripts/million and scripts/results share: one server at a time and a
# client beside it, bounded in time, and ended by their process numbers
# whatever happens. To be sourced; the directory is the repository's root.

# All may be set from outside, for a host where something else has these ports.
# FIRST_PORT is for WebSockets.
FIRST_PORT=${FIRST_PORT:-10000}
# Where the server listens for WebSockets and where the client finds it.
LISTEN_HOST=${LISTEN_HOST:-127.0.0.1}
CLIENT_HOST=${CLIENT_HOST:-127.0.0.1}
BUS_PORT=${BUS_PORT:-6379}
ADMIN_PORT=${ADMIN_PORT:-9100}
RESULTS=${RESULTS:-bench/results}

# PER_PORT is what 10m-client opens to a port before it takes the next.
PER_PORT=50000
# BYTES_PER_PAIR is what the host needs for both ends of a connection, with both
# processes and a reserve: 8,000 of it are the kernel's.
BYTES_PER_PAIR=8600

server= client= watcher=

# The word that ends either of them may come twice: the second one ends a
# server at once that is closing connections.
end_process() { # pid
	local pid=$1
	for signal in TERM TERM KILL; do
		kill -"$signal" "$pid" 2>/dev/null || return 0
		for _ in {1..200}; do
			kill -0 "$pid" 2>/dev/null || { wait "$pid" 2>/dev/null || true; return 0; }
			sleep 0.1
		done
	done
	wait "$pid" 2>/dev/null || true
}

end_server() {
	[ -z "$server" ] || end_process "$server"
	server=
}

end_all() {
	[ -z "$client" ] || end_process "$client"
	[ -z "$watcher" ] || end_process "$watcher"
	client= watcher=
	end_server
}

# end_with_us is for subshells, too, which do not inherit traps.
end_with_us() {
	trap end_all EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}
end_with_us

# seconds_for is how long a run with so many connections may take: a slow host
# connects 1,500 a second, and messages to all take minutes at millions.
seconds_for() { echo $((300 + $1 / 1000)); }

# need_memory refuses what the host has no memory for; the kernel would end
# some process otherwise, and rarely the one that is too large.
need_memory() { # connections
	local need=$((($1 * BYTES_PER_PAIR + (1 << 30)) / 1024)) have
	have=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
	if [ "$have" -lt "$need" ]; then
		echo "$1 connections need $((need / 1024)) MiB of free memory ($BYTES_PER_PAIR bytes each and 1 GiB), and this host has $((have / 1024)) MiB: ask for $(((have - (1 << 20)) * 1024 / BYTES_PER_PAIR / 1000 * 1000)) or fewer." >&2
		return 1
	fi
}

# page prints a page of the server's admin address.
page() { # path
	timeout 10 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$2" >&3 && cat <&3' - "$ADMIN_PORT" "$1" 2>/dev/null
}

# start_server starts one for so many connections and waits until it is ready.
start_server() { # connections flag...
	local connections=$1 last=$((FIRST_PORT + ($1 - 1) / PER_PORT))
	shift
	# 1 % more: while connections come back, the new overlap with the old.
	local command=(bin/10m-server --listen "$LISTEN_HOST:$FIRST_PORT-$last" --max-connections $((connections + connections / 100))
		--bus-listen "127.0.0.1:$BUS_PORT" --admin "127.0.0.1:$ADMIN_PORT" "$@")
	if page / >/dev/null; then
		echo "something listens on port $ADMIN_PORT already: end it, or set ADMIN_PORT, BUS_PORT and FIRST_PORT." >&2
		return 1
	fi
	echo "\$ ${command[*]}"
	"${command[@]}" &
	server=$!
	for _ in {1..300}; do
		page /readyz | grep -q '^ok$' && return 0
		kill -0 "$server" 2>/dev/null || break
		sleep 0.1
	done
	echo "the server did not become ready; it says why above" >&2
	return 1
}

# watch_metrics keeps the last scrape that saw everybody connected: the number
# of goroutines and of heap objects is of interest then.
watch_metrics() { # connections file
	local text open
	while sleep 2; do
		text=$(page /metrics) || continue
		open=$(awk '$1 == "c10m_connections_open" { printf "%d", $2 }' <<<"$text")
		[ "${open:-0}" -lt "$1" ] || sed '1,/^\r$/d' <<<"$text" >"$2"
	done
}

# bounded runs a program, and ends it when the time is over. It runs in the
# background, since a shell that waits for one in the foreground handles no
# signal.
bounded() { # seconds command...
	local seconds=$1 status=0
	shift
	timeout --foreground -k 30 "$seconds" "$@" &
	client=$!
	wait "$client" || status=$?
	client=
	[ "$status" -ne 124 ] || echo "ended after $seconds s: $*" >&2
	return "$status"
}

# metrics_told are those of the server that a run says beside what the client does;
# bench/tables reads them there.
metrics_told='^(c10m_gc_stop_max_seconds|c10m_loop_turn_p99_seconds|go_goroutines|go_memstats_heap_objects) '

# run_client runs 10m-client and keeps all that it says under a name, with the
# server's metrics. What is for programs and browsers stays out of git.
run_client() { # name connections scenario flag...
	local name=$1 connections=$2 scenario=$3 status=0
	shift 3
	rm -f "$RESULTS/$name".{html,json,metrics}
	local command=(bin/10m-client "$scenario" "$CLIENT_HOST" "$connections" --first-port "$FIRST_PORT" --server-pid "$server"
		--html "$RESULTS/$name.html" --json-file "$RESULTS/$name.json" "$@")
	echo "\$ ${command[*]}"
	watch_metrics "$connections" "$RESULTS/$name.metrics" &
	watcher=$!
	bounded "$(seconds_for "$connections")" "${command[@]}" || status=$?
	end_process "$watcher"
	watcher=
	grep -E "$metrics_told" "$RESULTS/$name.metrics" 2>/dev/null || true
	return "$status"
}
