package admin

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"c10m/bus"
	"c10m/channel"
	"c10m/conn"
	"c10m/internal/private"
	"c10m/internal/secret"
	"c10m/poller"
	"c10m/tuning"

	"go.uber.org/zap"
)

// A Loop is the counters of one loop, which goes on writing them.
type Loop struct {
	Poller  *poller.Stats
	Conn    *conn.Stats
	Channel *channel.Stats
}

// Sources are what the pages read. All must be set, except where a comment
// says otherwise.
type Sources struct {
	Loops []Loop
	Hub   *channel.HubStats
	Bus   bus.Bus
	// Repeats stands in front of the bus.
	Repeats *bus.Repeats
	// Channels counts and lists the connections here.
	Channels Channels
	// Operator is asked by the operator's page.
	Operator Operator
	// Draining reports whether the server is closing its connections. It is
	// called from many goroutines.
	Draining func() bool
	// Memory is what the server knows of its memory. nil is a server that does
	// not look.
	Memory Memory
	// Pacer is the pace of sweeps, all zero where the rate is fixed.
	Pacer *tuning.PacerStats
	// Addresses returns the number of client addresses that are counted.
	Addresses func() int64
	// LogSampled returns the number of lines that the log left out.
	LogSampled func() uint64
	// Version is what build_info says; it may be empty.
	Version string
}

// Memory says whether there is memory for newcomers (tuning.MemoryGuard). Its
// methods are called from many goroutines.
type Memory interface {
	// Reason says why newcomers are refused, in one sentence; empty if they are
	// not.
	Reason() string
	// Usage is what is used of the limit that is nearest, in bytes.
	Usage() (used, limit int64)
}

// check panics if main forgot something: better at the start than at the first
// scrape.
func (s *Sources) check() {
	if s.Hub == nil || s.Bus == nil || s.Repeats == nil || s.Channels == nil || s.Operator == nil ||
		s.Draining == nil || s.Pacer == nil || s.Addresses == nil || s.LogSampled == nil {
		panic("BUG: admin pages without one of their sources")
	}
	for _, loop := range s.Loops {
		if loop.Poller == nil || loop.Conn == nil || loop.Channel == nil {
			panic("BUG: admin pages with a loop whose counters are not set")
		}
	}
}

// Config is what an operator may set.
type Config struct {
	// Addr is host:port; port 0 takes a free one. Without a Password the host
	// has to be a loopback address or resolve to one.
	Addr string
	// Password is asked for if it is not empty.
	Password string
	// Hosts are names by which the pages may be asked for (Host) if there is no
	// Password: without, only an IP address or localhost may. With one, any.
	Hosts []string
	// MessageBytesMax is the longest message that may be published, in bytes; 0
	// is 1 MiB. The loops must take as much (channel.NewHub).
	MessageBytesMax int
}

// A Server serves the admin pages. Its methods may be called from any
// goroutine.
type Server struct {
	// Fixed after construction.
	sources  Sources
	log      *zap.Logger
	listener net.Listener
	http     *http.Server
	hurry    context.CancelFunc // ends the history, and the profiles under way
	served   chan struct{}      // closed when the listener's goroutine has ended
	publish  *publisher
	list     *lister
	operator *operatorPage
	silent   cached[[]int] // loops that make no turns
	door     *door

	// Shared: atomic.
	password secret.Password
}

// Listen binds the admin pages and serves them until Close. An error is one
// sentence for the operator. Call it when the loops run: a loop with a
// descriptor table of its own keeps a copy of whatever was open before.
func Listen(cfg Config, sources Sources, log *zap.Logger) (*Server, error) {
	sources.check()
	listener, err := pagesListener.Listen(cfg.Addr, cfg.Password != "")
	if err != nil {
		return nil, err
	}
	s := newServer(cfg, sources, log, listener)
	go s.serve()
	return s, nil
}

// Check says what Listen would say now, and listens no longer than that takes.
func Check(cfg Config) error { return pagesListener.Check(cfg.Addr, cfg.Password != "") }

var pagesListener = private.Listener{
	What: "the admin pages", Flag: "--admin", PasswordFlag: "--admin-password", Usual: "127.0.0.1:9100",
	Taken: func(*net.TCPAddr) string {
		return "perhaps by another 10m-server; set --admin to another port, or to off"
	},
}

func newServer(cfg Config, sources Sources, log *zap.Logger, listener net.Listener) *Server {
	base, hurry := context.WithCancel(context.Background())
	registry := newRegistry(sources, log)
	s := &Server{
		sources:  sources,
		log:      log,
		listener: listener,
		hurry:    hurry,
		served:   make(chan struct{}),
		publish:  newPublisher(sources, cmp.Or(cfg.MessageBytesMax, messageBytesDefault), registry),
		list:     &lister{channels: sources.Channels, places: make(chan struct{}, listingsMax)},
		door:     newDoor(registry),
		silent:   newCached[[]int](),
	}
	s.operator = newOperatorPage(&s.sources, log)
	go s.operator.history.run(base.Done())
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		panic("BUG: " + err.Error()) // only for a level that does not exist
	}
	s.password.Set(cfg.Password)
	site := newSite(cfg, registry)
	s.http = &http.Server{
		Handler:           s.door.through(site.guard(guard(&s.password, s.handler(registry, errorLog)))),
		ReadHeaderTimeout: headerSecondsMax * time.Second,
		ReadTimeout:       requestSecondsMax * time.Second,
		WriteTimeout:      responseSecondsMax * time.Second,
		IdleTimeout:       idleSecondsMax * time.Second,
		MaxHeaderBytes:    headerBytesMax,
		ErrorLog:          errorLog,
		ConnContext:       s.door.admit,
		ConnState:         s.door.connState,
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	return s
}

// serve runs until Close. net/http waits and tries again when descriptors are
// used up, so only Close and our own mistakes end it.
func (s *Server) serve() {
	defer close(s.served)
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("the admin pages are gone", zap.Error(err))
	}
}

// SetPassword replaces the password of a server that has one.
func (s *Server) SetPassword(password string) { s.password.Set(password) }

// Addr is host:port of the listener.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops listening, ends profiles under way with what they have, and
// waits until all requests are answered or ctx is done; then it cuts those
// that are left and returns the error of ctx. A second call does nothing.
func (s *Server) Close(ctx context.Context) error {
	s.hurry()
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close() // the listener is closed already
	}
	<-s.served
	return err
}
