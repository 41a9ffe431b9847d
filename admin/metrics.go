package admin

import (
	"c10m/bus"
	"c10m/channel"
	"c10m/tuning"
)

// The tables of what is exported, the rooms in the order in which a message
// meets them. A help text says what a rise means and which flag answers it.
// collector_test.go fails if a counter of any room is missing here.

// busMetrics are the way in.
var busMetrics = metricsOf[bus.Stats]([]number{
	{"bus_messages_total", "MessagesIn", "Messages that the bus handed to the loops, refused ones included."},
	{"bus_bytes_total", "BytesIn", "Bytes of payload in c10m_bus_messages_total."},
	{"bus_reserved_messages_total", "ReservedIn", "Messages on channels that begin with -/, which belong to the servers. With a real Redis: probes, one per interval and server."},
	{"bus_gaps_total", "Gaps", "Times that the subscription was, or may have been, interrupted. Each may have lost messages for everybody: Redis cannot say which."},
	{"bus_reconnects_total", "Reconnects", "Subscriptions at Redis after the first. A rise means that Redis or the network to it is not steady."},
	{"bus_probes_lost_total", "ProbesLost", "Probes through Redis that did not come back in time. A rise without reconnects means a path that stalls."},
	{"bus_probe_round_trip_seconds", "ProbeRoundTripSeconds", "How long the last probe through Redis took. Messages take half of it; 0 with the embedded bus, which has no probes."},
	{"bus_peers", "Peers", "RESP connections at the embedded bus: publishers, other servers, operators. What is too many is refused: c10m_bus_peers_closed_total, reason peers_max."},
	{"bus_subscriptions", "Subscriptions", "RESP subscriptions of all kinds at the embedded bus."},
	{"bus_queued_bytes", "QueuedBytes", "Bytes that wait for RESP peers. A rise means subscribers that read too slowly and will be disconnected."},
	{"bus_peers_accepted_total", "PeersAccepted", "RESP connections so far, refused ones included. As fast as messages means a publisher that connects for each."},
	{"bus_commands_total", "Commands", "RESP commands, unknown ones included."},
	{"bus_protocol_errors_total", "ProtocolErrors", "What RESP peers, or Redis, sent and is no RESP. A rise means that something else talks to the port."},
	{"bus_auth_failures_total", "AuthFailures", "Wrong passwords of RESP peers. A rise means a publisher with an old password, or somebody who guesses."},
	{"bus_accept_errors_total", "AcceptErrors", "Errors of accept at the embedded bus. A rise means that descriptors are used up: publishers cannot connect."},
})

// hubMetrics are the door into the loops.
var hubMetrics = metricsOf[channel.HubStats]([]number{
	{"messages_in_total", "Messages", "Messages taken from publishers, each counted once, whatever the number of loops."},
	{"message_bytes_in_total", "Bytes", "Bytes of payload in c10m_messages_in_total."},
	{"publish_waits_total", "Waits", "Times that a publisher waited for a loop with a full mailbox. A rise means that more is published than the loops can write."},
	{"shortcuts_total", "Shortcuts", "Messages that a loop published by itself, without a goroutine in between. The others of c10m_messages_in_total waited for a lock, a full mailbox or RESP subscribers, or came by another door."},
	{"posts_spared_total", "Spared", "Posts not made because the loop had no member of the message's channel. With c10m_letters_total it says how well publishers know where to go."},
	{"history_messages", "HistoryMessages", "Messages that are kept for clients that come back (--history)."},
	{"history_bytes", "HistoryBytes", "What they take; --history-bytes is the limit."},
	{"history_channels", "HistoryChannels", "Channels of which messages are kept."},
	{"history_dropped_count_total", "HistoryDroppedCount", "Messages dropped as their channel had --history newer ones."},
	{"history_dropped_age_total", "HistoryDroppedAge", "Messages dropped as they were older than --history-age."},
	{"history_dropped_bytes_total", "HistoryDroppedBytes", "Messages dropped as all together passed --history-bytes. A rise means that clients can come back later the fewer channels are busy."},
	{"positions_resumed_total", "Resumed", "Clients that were brought on from the position they came back with."},
	{"positions_gone_total", "PositionsGone", "Clients that were told that their position is gone: what followed it is not kept any more, or it is another server's."},
})

// loopMetrics are sums over all loops.
var loopMetrics = metricsOf[Loop]([]number{
	// The reactor.
	{"connections", "Poller.Connections", "TCP connections that the loops hold, in handshake, open or lingering."},
	{"connections_accepted_total", "Poller.Accepted", "Connections taken from the listeners."},
	{"accept_retries_total", "Poller.AcceptRetries", "Accepts that failed for one connection only, as it was gone already. A rise means clients that give up: the server accepts too late."},
	{"lanes_passed_on_total", "Poller.LanesPassedOn", "Times that a loop's descriptor table was full and another went on accepting. It is normal while connections come; a steady rise with a steady number of them means that all tables are nearly full."},
	{"accept_pauses_total", "Poller.AcceptPauses", "Times that a loop stopped accepting for a moment, as descriptors or memory were used up. A rise means that newcomers wait; see 10m-server doctor."},
	{"accept_rate_waits_total", "Poller.AcceptRateWaits", "Times that a loop left newcomers waiting since --accept-rate allowed no more for the moment. A rise is a storm that is being bounded; for a day on end it means that the rate is too low."},
	{"accept_refused_total", "Poller.AcceptRefused", "Connections closed unserved, as the table or epoll was full. A rise means a limit of the host, such as fs.epoll.max_user_watches; see 10m-server doctor."},
	{"accept_unexpected_total", "Poller.AcceptUnexpected", "Errors of accept that nobody foresaw. Any rise is worth a report."},
	{"write_stalls_total", "Poller.WriteStalls", "Times that a socket with room took nothing, so that it is tried again 50 ms later. A rise means that the kernel is short of memory for sockets (net.ipv4.tcp_mem, or the cgroup's): messages are late, none is lost."},
	{"stale_events_total", "Poller.StaleEvents", "Events for a former owner of a descriptor, dropped. A few are normal where connections come and go."},
	{"wakeups_total", "Poller.Wakeups", "Times that a poster woke a sleeping loop. Far fewer than letters means busy loops."},
	{"loop_passes_total", "Poller.Passes", "Times that a poster let a loop past those that wait for a processor. Near c10m_wakeups_total means that messages find the processors busy; 0 with no more loops than processors, where nobody waits."},
	{"steerings_ended_total", "Poller.SteeringsEnded", "Loops that no longer take connections by the processor where they arrive, since far too many arrived at theirs: a network card with one queue, or one busy sender on this host. It ends once per loop and for good; --pin off does without from the start."},
	{"posts_refused_total", "Poller.PostsRefused", "Letters that found a mailbox full; the publisher waits and posts again. A rise means a loop that is behind."},
	{"letters_total", "Poller.Letters", "Letters that loops handled: one per message and loop, and questions of the bus."},

	// The connections.
	{"connections_open", "Conn.Open", "Members of a channel: WebSockets and streams of events that have not ended."},
	{"events_open", "Conn.OpenEvents", "Those of c10m_connections_open that get server-sent events; the others are WebSockets."},
	{"polls_open", "Conn.OpenPolls", "Long-polls that wait, not in c10m_connections_open. They count for --max-connections."},
	{"polls_total", "Conn.Polls", "Long-polls begun, at once answered ones included."},
	{"polls_empty_total", "Conn.PollsEmpty", "Long-polls answered with 204, as nothing came in their time. Most of c10m_polls_total means that clients could wait longer (wait=, up to 120 s)."},
	{"event_streams_total", "Conn.EventStreams", "Requests that were answered with a stream of events. A rise far above c10m_events_open means something between that cuts them, as EventSource comes back by itself."},
	{"handshakes_total", "Conn.Handshakes", "Upgrades that were answered with 101."},
	{"handshakes_unfinished", "Conn.Unfinished", "Connections whose request is not complete. A rise means slow clients, or somebody who holds connections open without asking."},
	{"connections_lingering", "Conn.Lingering", "Connections that the server ended and the peer has not yet."},
	{"pinned_frame_bytes", "Conn.Pinned", "Bytes of frames that slow clients are in the middle of and their logs have let go; bounded like c10m_log_bytes, apart from it."},
	{"pings_total", "Conn.Pings", "Pings, and heartbeats of event streams, written to clients; --ping-interval sets the pace."},
	{"pings_skipped_total", "Conn.PingsSkipped", "Pings left out, as the socket was full: its data tells as well whether the peer is there. A rise means slow readers."},
	{"drain_notices_total", "Conn.Notices", "Pings with the payload drain, and events of that type, each some seconds before --drain closes that connection."},
	{"drain_notices_skipped_total", "Conn.NoticesSkipped", "Those left out, as the socket was full: slow readers, closed without."},
	{"pongs_total", "Conn.Pongs", "Answers to pings of clients."},
	{"pongs_dropped_total", "Conn.PongsDropped", "Pings of clients that were not answered, as too many answers waited for room in the socket. A rise means clients that ping and do not read."},
	{"pongs_received_total", "Conn.PongsIn", "Pongs from clients. Nobody waits for them: the kernel tells who is gone."},

	{"refusals_dropped_total", "Conn.RefusalsDropped", "Refusals that the log does not show, as a loop had 256 within 100 ms (--log-level debug; else none is noted). c10m_closes_total counts them all the same."},
	{"token_pauses_total", "Conn.TokenPauses", "Turns of a loop that had spent as much time on tokens as one may: newcomers waited for the next. A rise means a storm of newcomers, or somebody who tries tokens; see request_token_invalid in c10m_closes_total."},
	{"client_messages_total", "Conn.Published", "Messages that clients published (--publish) and the server took."},
	{"client_messages_failed_total", "Conn.PublishesFailed", "Those of c10m_client_messages_total that the bus did not take, or did not say whether it took; the clients were closed with 1013, or got ERR bus_down (c10m.v1) or 503. A rise means that the bus was down."},
	{"http_connections", "Conn.HTTP", "Connections whose requests are no upgrades, between their first answer and their end: waiting for their next request, or for an answer. They count for --max-connections."},
	{"http_requests_total", "Conn.Requests", "Requests on the public ports that were answered and are no upgrades: messages published with POST, CORS preflights, the server's own pages. Those that were refused with their connection are in c10m_closes_total."},
	{"http_publishes_refused_total", "Conn.PublishesRefused", "Messages published with POST on the public ports that were answered with 429, since too many waited for the bus. A rise means that clients publish more than the bus or the loops can take."},
	{"publish_pauses_total", "Conn.PublishPauses", "Times that a client was not read from, since too many messages of clients waited for the bus. A rise means that they publish more than the bus or the loops can take."},
	{"publish_paused", "Conn.PublishPaused", "Clients that are not read from now for that reason."},
	{"two_way_connections", "Conn.TwoWay", "Open connections that speak c10m.v1, of many channels each."},
	{"two_way_memberships", "Conn.Memberships", "Their channels, all together; they are in c10m_members, too."},
	{"commands_total", "Conn.Commands", "Commands of c10m.v1 that clients sent: PUB, SUB, UNSUB, PING, and what is none."},
	{"commands_refused_total", "Conn.CommandsRefused", "ERR answers of c10m.v1: commands that could not be done, and messages that the bus did not take. A rise means clients without the right, or too much for the bus."},
	{"messages_resent_total", "Conn.Resent", "Messages written from the history to clients that came back."},
	{"answers_stale_total", "Conn.AnswersStale", "Answers of the history to connections that had left meanwhile, dropped."},

	// The channels.
	{"channels", "Channel.Channels", "Channels with at least one member, counted once in each loop where they have one."},
	{"members", "Channel.Members", "Connections in channels, once for each channel that a connection has."},
	{"logs", "Channel.Logs", "Channels that owe something to somebody now, counted once per loop."},
	{"log_bytes", "Channel.LogBytes", "Bytes of the frames that are owed, counted once per loop. A rise means slow readers or busy loops; --log-bytes-total is the limit."},
	{"blocked_members", "Channel.Blocked", "Connections that are behind because their socket is full: slow readers, now."},
	{"loop_messages_total", "Channel.Messages", "Messages that loops took from their mailboxes, counted once per loop."},
	{"unwanted_messages_total", "Channel.Unwanted", "Those of c10m_loop_messages_total whose last member in that loop left while they were on the way. Loops that have no member of a channel are not posted to at all: see c10m_posts_spared_total."},
	{"deliveries_total", "Channel.Deliveries", "Messages that went whole into a socket."},
	{"delivered_bytes_total", "Channel.Bytes", "Bytes of frames that went into sockets."},
	{"writes_total", "Channel.Writes", "System calls that wrote frames. Fewer than c10m_deliveries_total means that busy loops save calls."},
	{"batches_total", "Channel.Batches", "Those of c10m_writes_total that carried more than one message."},
	{"skipped_frames_total", "Channel.Skipped", "Messages that slow readers were not given (--slow skip)."},
	{"passed_frames_total", "Channel.Passed", "Messages that connections were not given, as they came after a gap of which these were still to be told (--gap close): part of what they are told to have missed."},
	{"presence_dropped_total", "Channel.PresenceDropped", "Members that came or left and were not told of on presence: channels, as too many channels had changed and the bus had not taken it."},
	{"presence_unnamed_total", "Channel.PresenceUnnamed", "Members that came or left and were not told of, as presence: and the name of their channel are longer than a channel's name may be, 255 bytes."},
	{"presence_failed_total", "Conn.PresenceFailed", "Messages to presence: channels that the bus did not take."},
})

// paceMetrics are the pace of sweeps (--sweep-rate auto).
var paceMetrics = metricsOf[tuning.PacerStats]([]number{
	{"sweep_rate_writes", "Rate", "Writes a second that sweeps over channels of many members may make now, all together (--sweep-rate auto); 10 million is no limit. 0 if nothing adapts it."},
	{"sweep_window_pages", "Window", "Pages of 4 KiB that TCP may hold for what is sent and not acknowledged before sweeps slow down. It shrinks when packets are dropped or sent again."},
	{"sweep_under_way_pages", "UnderWay", "The pages that are held now, without those that are held while nobody sweeps."},
	{"sweep_window_cuts_total", "Cuts", "Times that the window shrank. A steady rise means that the network, or a device of this host, carries less than is published."},
})

// repeatMetrics are the keys of messages.
var repeatMetrics = metricsOf[bus.RepeatsStats]([]number{
	{"publish_repeats_total", "Repeats", "Messages with a key (Idempotency-Key, PUB <channel> <key>) that had come before, and were answered and not published again."},
	{"publish_keys_reused_total", "KeysReused", "Messages that were refused since their key was another message's."},
	{"publish_keys_forgotten_total", "KeysForgotten", "Keys that were forgotten before their five minutes: more came than --publish-keys."},
	{"publish_keys", "Keys", "Keys of messages that are remembered."},
})

// What is not simply one number.
var (
	buildInfo  = newDesc("build_info", "1, with the version of the server.", "version")
	logSampled = newDesc("log_lines_sampled_total", "Lines that the log does not show: of more than 100 with one message in a second, it shows each hundredth. A rise with --log-level debug means many refusals of one kind; see c10m_closes_total.")

	loopCount = newDesc("loops", "Loops, each of them one thread.")

	clientAddresses = newDesc("client_addresses", "Client addresses in memory for --address-connections and --address-rate: those with a connection, and up to a million that connected of late.")

	closesTotal = newDesc("closes_total", "Connections that ended, by reason: request_* were never open, slow_* and write_deadline are readers that could not keep up, client_* left themselves, missed_messages were told of a gap (--gap close).", "reason")

	overrunsTotal = newDesc("overruns_total", "Times that a slow reader lost its place in its channel's log, by the limit that it hit: log_bytes and log_bytes_total are flags, log_age is --write-deadline. It is closed or skips messages (--slow).", "cause")

	messagesRefusedTotal = newDesc("messages_refused_total", "Messages that nobody got, by reason; too_big is over --message-bytes. The publisher is told.", "reason")

	loopConnectionsMin = newDesc("loop_connections_min", "Connections of the emptiest loop.")
	loopConnectionsMax = newDesc("loop_connections_max", "Connections of the fullest loop. Far over the emptiest's means that fan-out waits for one loop.")
	loopLogBytesMax    = newDesc("loop_log_bytes_max", "Bytes that the logs of the fullest loop hold. Each loop may hold an equal share of --log-bytes-total.")
	loopBusySeconds    = newDesc("loop_busy_seconds_total", "Time in which a loop did not wait. A rate near 1 is a loop without a pause, however idle the others are; a rate of 0 is one that is stuck.", "loop")
	loopTurnSeconds    = newDesc("loop_turn_seconds", "Time in which a turn of a loop was busy. Long turns delay everybody on that loop.")
	loopTurnP99Seconds = newDesc("loop_turn_p99_seconds", "99 of 100 turns of all loops since the start were busy for this long or less: a power of two of microseconds, so up to twice the truth. A small message waits for the turn that its loop is in, so long ones show in its latency; for the last minutes, take a quantile over the rate of c10m_loop_turn_seconds.")

	gcStopMaxSeconds = newDesc("gc_stop_max_seconds", "The longest time since the start for which the garbage collector stopped all loops, from the wish to the end; up to a quarter over the truth. Far over c10m_loop_turn_p99_seconds means that the collector waited for threads that had no processor.")

	deliveryLagSeconds = newDesc("delivery_lag_seconds", "Time from publishing a message to its last write on a loop. The tail belongs to slow readers and ends at --write-deadline.")

	memoryUsedBytes  = newDesc("memory_used_bytes", "What is used of c10m_memory_limit_bytes, the kernel's part included. 0 if the server does not look (--max-memory off).")
	memoryLimitBytes = newDesc("memory_limit_bytes", "The limit of memory that is nearest: --max-memory, the cgroup's or the host's.")
	memoryShort      = newDesc("memory_short", "1 while newcomers are refused for want of memory, else 0; /readyz says which limit it is. c10m_closes_total, reason request_memory_limit, counts them.")

	busUp               = newDesc("bus_up", "1 while published messages reach this server, else 0; /healthz says why.")
	busChanged          = newDesc("bus_changed_timestamp_seconds", "When c10m_bus_up last changed, in Unix time.")
	busDroppedTotal     = newDesc("bus_dropped_total", "Messages that reached the bus and not the clients, by reason. Each is lost; its publisher was told if the bus is the embedded one.", "reason")
	busUnpublishedTotal = newDesc("bus_unpublished_total", "Messages of clients, and of POST, that the bus did not take, by reason; each sender was told. Of reason unconfirmed it is not known: the bus did not say. A rise of unreached means a password or an address that is not right any more, replica a --bus that is no master.", "reason")
	busPeersClosedTotal = newDesc("bus_peers_closed_total", "RESP connections that ended, by reason. A rise of lagged means another server or subscriber that reads too slowly.", "reason")
)
