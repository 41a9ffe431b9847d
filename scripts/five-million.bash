# The part of scripts/five-million that runs inside the namespace; to be sourced by
# it.

# inside sets the namespace up and runs the scenarios.
inside() {
	ip link set lo up
	# Those that are a namespace's own.
	local setting
	for setting in net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog=65536 net.ipv4.tcp_no_metrics_save=1 \
		net.ipv4.tcp_max_tw_buckets=$((connections + 100000)) "net.ipv4.ip_local_port_range=1024 65535"; do
		echo "${setting#*=}" >"/proc/sys/$(tr . / <<<"${setting%%=*}")" 2>/dev/null || echo "cannot set $setting; going on without" >&2
	done
	local status=0 scenario
	for scenario in $SCENARIOS; do
		scenario "$scenario" || status=1
		echo
	done
	return "$status"
}

# seconds_for is how long a run may take.
seconds_for() { echo $((600 + $1 / 3000)); }

# scenario runs one, and keeps what it says as five-million-NAME-N.
scenario() { # name
	local name=$1 flags=() run=$1 ping=5m status=0
	case "$1" in
	fanout) run=saturate flags=(--messages 1 --hold 5s) ;;
	# One message to everybody, and small ones for about as long as it is under way.
	mixed) flags=(--messages-rate 0.001 --duration "$((2 + connections / 150000))s" --probe-rate 100 --probes 1000) ;;
	pings) run=connect flags=(--hold "${HOLD:-5m10s}") ;;
	storm) flags=(--jitter 0s --messages-rate 0.05 --duration 1s) ;;
	# All are gone at once with a reset, and small messages go to those who stay.
	# Longer than to let go takes; the memory that those who stay keep does not come back.
	disconnect) flags=(--probe-rate 100 --probes 1000 --within "$((20 + connections / 50000))s") ;;
	*)
		echo "there is no scenario $1: fanout, mixed, pings, storm and disconnect are there." >&2
		return 1
		;;
	esac
	case "$run" in connect) ;; *) flags+=(--bus "127.0.0.1:$BUS_PORT") ;; esac
	CLIENT_HOST=$SERVER LISTEN_HOST=0.0.0.0
	start_server "$connections" --max-memory off --drain 1s --ping-interval "$ping" || return 1
	run_client "five-million-$name-$connections" "$connections" "$run" --tun "${flags[@]}" || status=$?
	end_server
	return "$status"
}
