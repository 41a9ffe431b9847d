package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"c10m/conn/wire"
	"c10m/internal/cli"
	"c10m/poller"
	"c10m/redisbus"
	"c10m/tuning"
)

// flags are the command line and, by kong, the environment (C10M_LISTEN and so
// on). Each help says what a value trades for what.
type flags struct {
	Version cli.VersionFlag `env:"-" help:"Print the version and exit."`
	Serve   serveFlags      `cmd:"" default:"withargs" help:"Serve WebSockets and push to them what is published. This is what happens without a subcommand; the other one is 10m-server doctor. Each flag is also a variable of the environment: C10M_LISTEN for --listen."`
	Doctor  doctorFlags     `cmd:"" help:"Examine this host: which settings are too low for so many connections, and what memory they take."`
}

type serveFlags struct {
	Listen         []string      `group:"Where clients come in" default:":10000-11000" sep:"," help:"Address and port, or range of ports; repeatable. Clients choose a port freely: several ports let one client address open more than its 28,000 to 64,000 connections. Each port costs every loop one descriptor, and 4 KB for each loop that accepts at a time (one per core). :port is IPv4; [::]:port is both families and costs the kernel about 3 % more memory."`
	MaxConnections int           `group:"Where clients come in" default:"0" help:"Connections to hold at most: WebSockets, streams of events, polls, and those that HTTP clients keep for their next request, which go first when it is full; more are refused with 503. 0 is what memory and the nofile limit allow. A number above the hard nofile limit makes the loops take private descriptor tables, as many as that needs."`
	AcceptRate     int           `group:"Where clients come in" default:"0" help:"Connections to accept a second at most, over all loops; 0 is no limit. After an outage all clients come back at once: a limit leaves processor time to those who are already here. Who has to wait does so in the kernel's queue (net.core.somaxconn for each port and loop that accepts), and beyond that its SYN is dropped and sent again after 1, 3, 7 seconds: so a low rate with a short queue makes newcomers wait longer than the rate itself."`
	DeferAccept    bool          `group:"Where clients come in" default:"true" negatable:"" help:"Let the kernel keep a connection until its request is there (TCP_DEFER_ACCEPT): one wake-up less per handshake."`
	RequestBytes   byteSize      `group:"Where clients come in" default:"8KiB" help:"The longest request line and header fields together, 1KiB to 32KiB: cookies and long tokens need room. More is refused with 431, or 414 if the first line alone is too long. A client that sends its request slowly makes the server keep what came of it, for 10 s at most and 16MiB a loop; so with a higher number fewer such clients lock others out. Proxies in front have limits of their own (nginx: large_client_header_buffers)."`
	PingInterval   time.Duration `group:"Where clients come in" default:"5m" help:"How often each connection is pinged; 0 is never. Load balancers cut connections that are idle for 60 s or so; each ping and its pong cost 14 to 20 us of a core."`
	Bus            string        `group:"Where messages come from" default:"embedded" help:"Where messages come from. 'embedded' is a small Redis of our own, for one machine or as the Redis of other 10m-servers; redis://[user:password@]host:port or rediss://... is a real Redis that any number of servers may share. A replica will do for a server whose clients do not publish."`
	BusListen      string        `group:"Where messages come from" default:"127.0.0.1:6379" help:"Where the embedded bus listens. An address that other hosts can reach needs --bus-password."`
	BusPassword    string        `group:"Where messages come from" help:"Password that the embedded bus asks for (AUTH). Better in the environment, C10M_BUS_PASSWORD, or in a file (--bus-password-file), than on a command line that everybody sees."`
	BusProbe       time.Duration `group:"Where messages come from" default:"5s" help:"How often the server sends itself a message through a real Redis, and how long that may take to come back. A dead Redis or path is noticed within twice this time. Shorter notices sooner, costs Redis a connection and each server a message of every other, and takes a slow path for a dead one."`
	Gap            string        `group:"Where messages come from" enum:"close,ignore" default:"close" help:"What happens after the subscription at a real Redis was interrupted, to clients that were connected meanwhile: 'close' closes them with code 4001, evenly over --drain, once messages arrive again, so that each can ask for what it may have missed, at the price of everybody's reconnect; 'ignore' leaves them as they are and none the wiser, which suits values that the next message replaces. The embedded bus has no gaps."`
	Frame          string        `group:"Where messages come from" enum:"auto,text,binary" default:"auto" help:"How payloads are framed: 'auto' makes text frames of UTF-8 and binary frames of the rest; 'text' saves that check, and browsers close at what is not UTF-8; 'binary' saves it, too."`
	MessageBytes   byteSize      `group:"Where messages come from" default:"1MiB" help:"The longest message that is taken from a publisher. Each loop holds a message once, whatever the number of readers. At most 512MiB, as in Redis."`
	Publish        string        `group:"What clients may say" enum:"off,own" default:"off" help:"What happens to a client's data messages: 'off' refuses them with 1003; 'own' publishes them to the client's own channel through the bus, so that everybody there hears them, itself included, and lets everybody who may subscribe publish with POST /CHANNEL (with tokens: whose token says so). Then each of its messages costs the fan-out of its channel, and nothing but the bus limits how many it sends. A client that speaks c10m.v1 names the channel of each message: without tokens that is any channel, with tokens those that its publish claim allows."`
	PublishKeys    uint32        `group:"What clients may say" default:"262144" help:"How many keys of publishers are remembered (Idempotency-Key of a POST, PUB with a key in c10m.v1), for five minutes, so that a message that is repeated with its key is published once and answered as the first time. 120 bytes each. When there are more, the oldest goes early, and is counted. 0 looks at no key."`
	Presence       bool          `group:"What clients may say" help:"Tell on the channel presence:NAME, once a second, how many connections came to the channel NAME and left it, and how many there are now: {\"joined\":3,\"left\":1,\"of\":\"k3v9q2xa\",\"connections\":12,\"version\":57}, each loop for its own, through the bus. It costs up to a message a second for each channel where somebody came or left, whether anybody listens or not. A NAME of over 246 bytes has no such channel, and is counted (c10m_presence_unnamed_total)."`
	Demo           bool          `group:"What clients may say" help:"Serve the page /-/demo, two clients to look at in a browser, and let it work: with --publish own, and --history 100 if that is not set. Then everybody who reaches a port may publish, so it is for a machine of your own. c10m.js is served without it, too."`
	Admin          string        `group:"The operator's pages" default:"127.0.0.1:9100" help:"Where the operator's page is (/operator/), by which everybody who reaches it may disconnect clients, /metrics, /healthz, /readyz, /livez and /debug/pprof, and POST /publish, by which everybody may publish; 'off' is nowhere, and saves one read of all counters a second. An address that other hosts can reach needs --admin-password."`
	AdminPassword  string        `group:"The operator's pages" help:"Password that the admin pages ask for (HTTP basic authentication, any user name), but for the bare answers of /healthz, /readyz and /livez, which load balancers fetch. Better in the environment, C10M_ADMIN_PASSWORD, or in a file (--admin-password-file). It travels unencrypted: put TLS in front, or keep to a network of your own."`
	AdminHost      []string      `group:"The operator's pages" sep:"," placeholder:"NAME" help:"Names by which --admin may be asked for without a password (Host), besides localhost and IP addresses; repeatable. Without the limit, any web page whose name its owner has resolve to this address (DNS rebinding) could read everything there in the browser of whoever visits it. Health pages answer by any name."`
	PasswordFiles  passwordFiles `embed:""`
	TokenKey       []string      `group:"Who gets in" sep:"," placeholder:"FILE" help:"Who subscribes needs a token (JWT) that this key signed: a secret of 32 bytes or more for HS256, or public keys or certificates in PEM for RS256, ES256 and EdDSA; repeatable. HS256 costs the server a tenth of the others, but whoever can check its tokens can also make them. Read again on SIGHUP."`
	TokenJWKS      string        `group:"Who gets in" name:"token-jwks" placeholder:"FILE" help:"The same from a JSON Web Key Set, as issuers publish it. Fetching it is left to cron or a sidecar: write it beside, rename it, send SIGHUP."`
	TokenAudience  []string      `group:"Who gets in" placeholder:"NAME" help:"Take only tokens whose aud names this, or one of these; repeatable. Without, a token that the same issuer made for another service is as good."`
	TokenQuery     string        `group:"Who gets in" placeholder:"NAME" help:"Look for tokens in this query parameter of the URL, too (ws://host/news?NAME=TOKEN). URLs end in the logs of proxies and in browsers' histories, and so do the tokens; browsers can use subprotocols instead: new WebSocket(url, ['c10m.token', token])."`
	Access         accessFlags   `embed:""`
	WriteDeadline  time.Duration `group:"Slow readers" default:"30s" help:"How long a client may leave bytes unacknowledged, and a frame may wait for it, before it is cut. Shorter finds the dead sooner and cuts phones in tunnels."`
	LogBytes       byteSize      `group:"Slow readers" default:"1MiB" help:"How far a slow reader may fall behind in its channel. All slow readers of a channel share one log of this size, so more memory forgives more. A message counts as its bytes and 256 more."`
	LogBytesTotal  byteSize      `group:"Slow readers" default:"256MiB" help:"The same for the logs of all channels together. When it is full, slow readers go first."`
	SendBuffer     byteSize      `group:"Slow readers" default:"256KiB" help:"What the kernel may hold for a client that reads slowly (SO_SNDBUF). Less bounds the memory of slow readers, more speeds up large messages over long distances. The kernel lowers it to net.core.wmem_max without a word (often 212992 bytes), and then doubles it for its own overhead. 0 lets the kernel grow it up to net.ipv4.tcp_wmem."`
	Slow           string        `group:"Slow readers" enum:"close,skip" default:"close" help:"What happens to a reader that fell too far behind: 'close' tells it, so that it can come back and ask what it missed; 'skip' leaves the messages out, which suits scores and prices."`
	SweepRate      string        `group:"Slow readers" default:"auto" help:"How fast a message to many is written, in writes a second over all loops. 'auto' finds what the devices and the network carry: it goes faster while nothing is lost and slower when packets are dropped or sent again, since what finds a full queue arrives a fifth of a second later. A number is for who knows better; 'off' writes as fast as it goes. Channels of up to 16 members are not held up."`
	History        int           `group:"Coming back" default:"0" help:"How many of the latest messages of each channel are kept, so that a client that comes back with ?since=POSITION continues without a gap; 0 keeps none, and costs nothing. Kept messages cost memory (--history-bytes) and each PUBLISH about 0.2 us."`
	HistoryAge     time.Duration `group:"Coming back" default:"5m" help:"How long they are kept. A client that was away for longer is told that its position is gone."`
	HistoryBytes   byteSize      `group:"Coming back" default:"256MiB" help:"What the messages of all channels that are kept may take together; the oldest go first. A message counts as its bytes and about 400 more."`
	MaxMemory      string        `group:"Threads and memory" default:"auto" help:"Memory above which new connections are refused with 503 until there is enough again; those here live on. 'auto' keeps a little back (3 to 6 per cent) of what the cgroups and the host have; a size like 4GiB is in addition a limit for the server itself, its sockets in the kernel included: their part is an estimate, and a little too high rather than too low. 'off' does not look, and leaves it to the kernel whom it kills."`
	Loops          int           `group:"Threads and memory" default:"0" help:"Reactor threads. 0 is one per core, more if private descriptor tables need it. More than cores costs fan-out speed."`
	FDTables       string        `group:"Threads and memory" name:"fd-tables" enum:"auto,private,shared" default:"auto" help:"Whether each loop has a descriptor table of its own. 'private' gets past the nofile limit and spares loops each other's locks; 'shared' shows every connection in /proc/PID/fd."`
	Pin            string        `group:"Threads and memory" enum:"auto,on,off" default:"auto" help:"Whether each loop is bound to a processor and prefers the connections whose packets arrive there: fewer cache misses, but a loop waits if something else wants its processor. 'auto' binds where the whole host is the server's and one descriptor table does; 'on' binds anyway. Private tables then fill unevenly, and a full one keeps its newcomers waiting, or, where there are more loops than cores, connections come to any loop."`
	Drain          time.Duration `group:"Stopping" default:"30s" help:"Over which time SIGTERM, or a gap with --gap close, closes the connections, so that clients do not all come back at once. On SIGTERM each is told by a ping with the payload 'drain' 5s before its close (half of this time, if that is less), so that a client that looks for it can move without missing a message. Longer is gentler to the server that they move to. A second signal ends the server now."`
	LogFormat      string        `group:"Logging" enum:"text,json" default:"text" help:"How what is logged is written to standard error: lines for people, or one JSON object each for programs."`
	LogLevel       string        `group:"Logging" enum:"debug,info,warn,error" default:"info" help:"What is logged. Nothing is logged per connection but with 'debug': who is refused, with the reason, the address and the request line without a token, a sample of 100 and then each hundredth of a reason a second; what is left out is counted (c10m_log_lines_sampled_total, c10m_refusals_dropped_total)."`
}

type doctorFlags struct {
	Connections int      `default:"0" help:"How many connections the host is to hold; 0 is what it can hold now."`
	Ports       int      `default:"0" help:"On how many ports the server listens; 0 is those of --listen."`
	Listen      []string `default:":10000-11000" sep:"," help:"As for the server: which ports."`
	Loops       int      `default:"0" help:"As for the server."`
	FDTables    string   `name:"fd-tables" enum:"auto,private,shared" default:"auto" help:"As for the server."`
	Apply       bool     `help:"Set what may be set while the host runs (lost at the next boot: see --sysctl)."`
	Sysctl      bool     `help:"Print a file for /etc/sysctl.d instead of the table."`
	JSON        bool     `name:"json" help:"Print the report for programs."`
}

// variablesOfOthers begin with C10M_ and are not the server's: of 10m-client and of the
// tests. C10M_VERSION is what images like to set.
var variablesOfOthers = []string{"C10M_TOKEN", "C10M_FAULTS", "C10M_FAULTS_TABLE", "C10M_VERSION"}

// Validate is called by kong; its error is for the operator.
func (f *doctorFlags) Validate() error {
	_, err := addressesOf(f.Listen)
	return err
}

func (f *doctorFlags) options() tuning.DoctorOptions {
	want := tuning.Want{Connections: f.Connections, Ports: f.Ports, Loops: f.Loops, FDTables: f.FDTables}
	if want.Ports == 0 {
		addresses, _ := addressesOf(f.Listen) // Validate has seen the error
		want.Ports, want.Listen = len(addresses), portsOf(addresses)
	}
	return tuning.DoctorOptions{
		Want:  want,
		Apply: f.Apply, Sysctl: f.Sysctl, JSON: f.JSON,
	}
}

func portsOf(addresses []poller.Address) (ports []int) {
	for _, address := range addresses {
		ports = append(ports, int(address.Port()))
	}
	return ports
}

// addressesOf are all listening addresses of --listen.
func addressesOf(listen []string) ([]poller.Address, error) {
	var all []poller.Address
	seen := make(map[poller.Address]bool)
	for _, text := range listen {
		addresses, err := poller.ParseAddresses(text)
		if err != nil {
			return nil, err
		}
		for _, address := range addresses {
			if !seen[address] {
				seen[address] = true
				all = append(all, address)
			}
		}
	}
	return all, nil
}

func (f *serveFlags) frameMode() wire.FrameMode {
	return map[string]wire.FrameMode{"auto": wire.FrameAuto, "text": wire.FrameText, "binary": wire.FrameBinary}[f.Frame]
}

// Validate is called by kong; its error is for the operator.
func (f *serveFlags) Validate() error {
	_, listenErr := addressesOf(f.Listen)
	_, _, sweepErr := f.sweepRate()
	_, _, memoryErr := f.maxMemory()
	var busErr error
	if f.Bus != "embedded" {
		busErr = redisbus.CheckRedis(f.Bus)
	}
	return cmp.Or(f.checkGiven(), f.checkRanges(), f.checkPasswords(), listenErr, sweepErr, memoryErr, busErr, f.Access.validate())
}

// checkGiven refuses flags that are empty, or mean nothing without others.
func (f *serveFlags) checkGiven() error {
	if strings.Join(f.Listen, "") == "" {
		return errors.New("--listen is empty: say on which port to listen, like :10000, or leave it out")
	}
	if len(f.TokenKey) == 0 && f.TokenJWKS == "" && (len(f.TokenAudience) > 0 || f.TokenQuery != "") {
		return errors.New("--token-audience and --token-query are about tokens, and there is no key for them: give --token-key or --token-jwks")
	}
	for _, name := range f.AdminHost {
		if strings.ContainsAny(name, ":/ ") {
			return fmt.Errorf("--admin-host is %q and must be a name alone, without a scheme and a port", name)
		}
	}
	return nil
}

// byteSize is a number of bytes, written like 4096, 64KiB, 1MiB or 2GiB.
type byteSize int

var byteUnits = []struct {
	suffix string
	bytes  int
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

func (b *byteSize) UnmarshalText(text []byte) error {
	for _, unit := range byteUnits {
		number, ok := strings.CutSuffix(string(text), unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || n < 0 || n > (1<<40)/unit.bytes {
			break
		}
		*b = byteSize(n * unit.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size; write it like 4096, 64KiB or 1MiB", text)
}

func (b byteSize) String() string {
	for _, unit := range byteUnits {
		if unit.bytes > 1 && int(b) >= unit.bytes && int(b)%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", int(b)/unit.bytes, unit.suffix)
		}
	}
	return strconv.Itoa(int(b))
}
