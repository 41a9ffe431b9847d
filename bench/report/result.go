package report

import "time"

// A Result is everything that one run of 10m-client says: what it was asked
// for, what it saw, what that cost, and whether it is to be believed. It is
// what --json prints, what the text and the page are made of, and what the
// comparison with other servers reads.
type Result struct {
	Scenario string    `json:"scenario"` // connect, fanout, unicast, mixed, saturate, storm, churn, disconnect or posts
	Command  []string  `json:"command"`  // the client's own command line
	Commit   string    `json:"commit,omitempty"`
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"` // the whole run, connecting included
	Host     Host      `json:"host"`

	Connections Connections `json:"connections"`
	// Streams are the kinds of messages that were measured apart: "fanout",
	// "unicast". A scenario without messages has none.
	Streams    []Stream    `json:"streams,omitempty"`
	Storm      *Storm      `json:"storm,omitempty"`
	Churn      *Churn      `json:"churn,omitempty"`
	Disconnect *Disconnect `json:"disconnect,omitempty"`
	Posts      *Posts      `json:"posts,omitempty"`
	Soak       *Soak       `json:"soak,omitempty"`
	// UserSpace is there if most of the client's ends were not the kernel's.
	UserSpace *UserSpace `json:"user_space,omitempty"`
	Usage     Usage      `json:"usage"`

	// Bottlenecks are sentences, one for each way in which the figures above
	// say more about the client, its host or its publisher than about the
	// server. None means that the server is what was measured.
	Bottlenecks []string    `json:"bottlenecks,omitempty"`
	Criteria    []Criterion `json:"criteria,omitempty"` // of --criteria
	Fault       string      `json:"fault,omitempty"`    // what a correct server and a healthy host never show
	Samples     []Sample    `json:"samples"`
}

// Host is where the client ran.
type Host struct {
	Kernel      string `json:"kernel"`
	Processor   string `json:"processor"`
	Cores       int    `json:"cores"`
	MemoryBytes uint64 `json:"memory_bytes"`
	Go          string `json:"go"`
	NofileHard  uint64 `json:"nofile_hard"`
	Loops       int    `json:"loops"`
	PrivateFDs  bool   `json:"private_fd_tables"`
}

// Connections says how connecting went.
type Connections struct {
	Wanted    int       `json:"wanted"`
	Opened    int       `json:"opened"` // upgraded, ever
	Open      int       `json:"open"`   // at the end
	GaveUp    int       `json:"gave_up"`
	Retries   int       `json:"retries"`
	Seconds   float64   `json:"seconds"` // until the last of the first round was decided
	PerSecond float64   `json:"per_second"`
	Latency   Quantiles `json:"latency"` // from connect(2) to the 101

	Failures map[string]uint64 `json:"failures,omitempty"` // tries that failed, by kind
	Closes   map[uint16]uint64 `json:"closes,omitempty"`   // close frames from the server, by code
	Dropped  uint64            `json:"dropped"`            // ended without a close frame
	Broken   map[string]uint64 `json:"broken,omitempty"`   // breaches of RFC 6455, by kind
	Problem  string            `json:"problem,omitempty"`  // one example of a failure
	Pings    uint64            `json:"pings"`
	Pongs    uint64            `json:"pongs"`
}

// A Stream is one kind of messages. The counts are exact.
type Stream struct {
	Name         string  `json:"name"`
	PayloadBytes int     `json:"payload_bytes"`
	Rate         float64 `json:"rate,omitempty"`      // messages a second that were asked for; 0: as fast as InFlight allows
	InFlight     int     `json:"in_flight,omitempty"` // of a closed loop
	Subscribers  int     `json:"subscribers"`         // connections that a message goes to
	Listeners    int     `json:"listeners"`           // connections that such messages go to, all at once or one at a time
	Published    uint64  `json:"published"`
	Expected     uint64  `json:"expected"` // deliveries that are due: published times subscribers
	Delivered    uint64  `json:"delivered"`
	Lost         uint64  `json:"lost"`
	Duplicated   uint64  `json:"duplicated"`
	OutOfOrder   uint64  `json:"out_of_order"`
	Corrupt      uint64  `json:"corrupt"`
	Seconds      float64 `json:"seconds"` // from the first publish to the last delivery
	PerSecond    float64 `json:"deliveries_per_second"`

	// Latency is from the time at which a message was due to its arrival, so
	// that a publisher that was late, for whatever reason, does not hide what
	// its messages would have suffered (coordinated omission). In a closed loop
	// (InFlight) nothing is due at a time, and it is from the publish.
	Latency   Quantiles `json:"latency"`
	Corrected bool      `json:"corrected"`
	Late      uint64    `json:"late_publishes"` // sent more than a millisecond after they were due
	Curve     []Point   `json:"curve,omitempty"`
}

// Quantiles is a histogram in a few numbers, in milliseconds.
type Quantiles struct {
	Count      uint64  `json:"count"`
	MeanMillis float64 `json:"mean_ms"`
	P50Millis  float64 `json:"p50_ms"`
	P90Millis  float64 `json:"p90_ms"`
	P99Millis  float64 `json:"p99_ms"`
	P999Millis float64 `json:"p999_ms"`
	MaxMillis  float64 `json:"max_ms"`
}

// A Point of a histogram's percentile curve.
type Point struct {
	Percentile float64 `json:"percentile"` // 0 to 100
	Millis     float64 `json:"ms"`
}

// Storm says how long it took until everybody was back.
type Storm struct {
	Dropped         int       `json:"dropped"`
	JitterSeconds   float64   `json:"jitter_seconds"`   // over which they came back, full jitter
	RecoverySeconds float64   `json:"recovery_seconds"` // from the drop to the last 101
	ServedSeconds   float64   `json:"served_seconds"`   // from the drop to the last first message
	Latency         Quantiles `json:"latency"`          // of the connects of the storm
}

// Churn says what came and went.
type Churn struct {
	Rate         float64   `json:"rate"` // asked for, connections a second
	Disconnected uint64    `json:"disconnected"`
	Reconnected  uint64    `json:"reconnected"`
	Latency      Quantiles `json:"latency"` // of these connects
}

// Posts says how fast POSTs were answered.
type Posts struct {
	Connections  int       `json:"connections"`
	Depth        int       `json:"depth"` // requests under way on each connection
	PayloadBytes int       `json:"payload_bytes"`
	Published    uint64    `json:"published"`
	Refused      uint64    `json:"refused"` // answered with 429
	PerSecond    float64   `json:"posts_per_second"`
	Round        Quantiles `json:"round"` // of as many requests as are under way
}

// Disconnect says how long it took until the server had let go of all who ended at once
// and for good. Times are from the first end, and known to 0.1 s.
type Disconnect struct {
	Ended  int `json:"ended"`
	Stayed int `json:"stayed"`
	// LetGoSeconds is until the server had closed the last; 0: it had not when the time
	// was over, and Held are left, or it is not known, for a reason.
	LetGoSeconds float64 `json:"let_go_seconds"`
	Held         int     `json:"held"`
	Unknown      string  `json:"let_go_unknown,omitempty"`

	// MemorySeconds is until the host's used memory was what it was before, but for the
	// share of those who stayed and MemorySpareShare of what all took; 0: it was not when
	// the time was over. MemoryLeft is what was more at the end, that share aside.
	MemorySeconds float64  `json:"memory_seconds"`
	MemoryLeft    uint64   `json:"memory_left_bytes"`
	Server        Memories `json:"server_resident"` // 0 without --server-pid
	Host          Memories `json:"host_used"`

	// Latency is of the messages that came until the server had let go of all, or its
	// time was over.
	Latency Quantiles `json:"latency"`
}

// Memories are bytes before the first connect, with all connected, and at the end.
type Memories struct {
	Before    uint64 `json:"before"`
	Connected uint64 `json:"connected"`
	End       uint64 `json:"end"`
}

// MemorySpareShare is how much of the memory that connections took may be missing when it
// counts as back.
const MemorySpareShare = 0.05

// UserSpace is about ends that live in the client's process, over a TUN device.
type UserSpace struct {
	Connections int     `json:"connections"`
	Sample      int     `json:"sample"` // sockets of the kernel beside them
	Queues      int     `json:"queues"`
	AckMillis   float64 `json:"ack_delay_ms"` // 0: each segment is acknowledged at once

	// What the ends have sent and seen.
	Segments      uint64 `json:"segments_received"`
	Acks          uint64 `json:"acks_sent"` // with nothing else in them
	Retransmitted uint64 `json:"retransmitted"`
	OutOfOrder    uint64 `json:"out_of_order_dropped"` // and asked for again
	Repeated      uint64 `json:"repeated_received"`

	// What the network namespace has sent and had no room for: the server, mostly.
	ServerSegments      uint64 `json:"server_segments"`
	ServerRetransmitted uint64 `json:"server_retransmitted"`
	DeviceDrops         uint64 `json:"device_drops"`
}

// UserSpaceRemark says what such ends do not show.
const UserSpaceRemark = "Most of the client's ends live in its process and do not show what a client's kernel costs: not its memory, not its time, not its part in a latency. The kernel's sockets beside them do, and have lines of their own."

// Usage is what the run cost. Figures of the server are 0 if its process is
// not known (--server-pid).
type Usage struct {
	ClientCores       float64 `json:"client_cores"` // mean over the measured part
	ServerCores       float64 `json:"server_cores"`
	HostCores         float64 `json:"host_cores"` // everything, of Host.Cores
	ClientCoresMax    float64 `json:"client_cores_max"`
	HostCoresMax      float64 `json:"host_cores_max"`
	ClientResident    uint64  `json:"client_resident_bytes"`
	ServerResident    uint64  `json:"server_resident_bytes"`    // all connected
	ServerBefore      uint64  `json:"server_resident_before"`   // before the first connect
	ServerPerConn     float64 `json:"server_bytes_per_conn"`    // the difference per connection
	HostPerConn       float64 `json:"host_bytes_per_conn"`      // the same of the whole host, both ends and both processes
	KernelPerConn     float64 `json:"kernel_bytes_per_conn"`    // slab only
	ClientTurnP99Mill float64 `json:"client_loop_turn_p99_ms"`  // how long a loop of the client was busy at a time
	ReadDelayP99Mill  float64 `json:"client_read_delay_p99_ms"` // from a loop's wake-up to the read: the client's own part in every latency, at most
}

// A Criterion of --criteria.
type Criterion struct {
	Name   string `json:"name"`
	Wanted string `json:"wanted"`
	Got    string `json:"got"`
	Pass   bool   `json:"pass"`
}

// A Sample is what was seen in one second.
type Sample struct {
	Seconds        float64 `json:"t"`     // since the start
	Phase          string  `json:"phase"` // connecting, measuring, storm, disconnect, freeing, holding
	Open           int     `json:"open"`
	Connects       float64 `json:"connects_per_second"`
	Deliveries     float64 `json:"deliveries_per_second"`
	MeanMillis     float64 `json:"latency_mean_ms"` // of what arrived in this second, all streams
	MaxMillis      float64 `json:"latency_max_ms"`
	ServerResident uint64  `json:"server_resident_bytes"`
	ClientResident uint64  `json:"client_resident_bytes"`
	HostUsed       uint64  `json:"host_used_bytes"`
	ClientCores    float64 `json:"client_cores"`
	ServerCores    float64 `json:"server_cores"`
	HostCores      float64 `json:"host_cores"`
	// ServerDescriptors are those of its main table; only a soak looks at them.
	ServerDescriptors int `json:"server_descriptors,omitempty"`
}
