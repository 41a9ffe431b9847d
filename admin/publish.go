package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"c10m/bus"
	"c10m/conn/admission"
	"c10m/conn/wire"

	"github.com/prometheus/client_golang/prometheus"
)

// publishAbout is what the list of pages says of those that mux does not serve.
const publishAbout = `/channels      channels with their connections (?match=PATTERN&limit=N); /channels/CHANNEL is one

POST /publish/CHANNEL with a message as the body publishes it (curl -d hello 127.0.0.1:9100/publish/news),
POST /publish with JSON lines publishes several; docs/publish.md explains the format.
`

// Channels is what the hub knows of the connections here (channel.Hub). Its
// methods are called from many goroutines, and wait for the loops.
type Channels interface {
	// Count returns the number of connections of each channel.
	Count(channels []string) []int
	// Channels lists at most max channels with a connection for which match is
	// true. match runs on the loops.
	Channels(match func(name string) bool, max int) []string
}

// ways sends the requests about channels where they belong and all others to
// next. It looks at the request target as it was sent: http.ServeMux would join
// the slashes of a channel's name.
func (s *Server) ways(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		path = strings.TrimPrefix(path, "/-") // as on the public ports
		switch {
		case path == "/publish" || strings.HasPrefix(path, "/publish/"):
			s.publish.serve(w, r, strings.TrimPrefix(path, "/publish"))
		case path == "/channels" || strings.HasPrefix(path, "/channels/"):
			readOnly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s.list.serve(w, r, strings.TrimPrefix(path, "/channels"))
			})).ServeHTTP(w, r)
		case path == "/operator" || strings.HasPrefix(path, "/operator/"):
			s.operator.serve(w, r, strings.TrimPrefix(path, "/operator"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// How a request to publish ended: the values of a counter's label.
const (
	resultPublished   = "published"
	resultBadRequest  = "bad_request" // 400, 405, 415
	resultTooBig      = "too_big"     // 413
	resultIncomplete  = "incomplete"  // 400, if anybody is there to read it
	resultOverloaded  = "overloaded"  // 429
	resultBusDown     = "bus_down"    // 503
	resultUnconfirmed = "unconfirmed" // 503
	resultKeyReused   = "key_reused"  // 422
)

var publishResults = []string{resultPublished, resultBadRequest, resultTooBig, resultIncomplete, resultOverloaded, resultBusDown, resultUnconfirmed, resultKeyReused}

// A publisher serves POST /publish: its messages take the way of any PUBLISH.
type publisher struct {
	// Fixed after construction.
	repeats         *bus.Repeats
	channels        Channels
	messageBytesMax int
	batchBytesMax   int
	bodiesBytesMax  int64
	wait            time.Duration // for a place
	places          chan struct{} // as many tokens as requests that publish

	// Shared: atomic.
	waiting atomic.Int64 // requests without a place
	bodies  atomic.Int64 // bytes of bodies under way
	results *prometheus.CounterVec
	sent    prometheus.Counter
}

func newPublisher(sources Sources, messageBytesMax int, registry prometheus.Registerer) *publisher {
	batch := max(batchBytesMax, 2*messageBytesMax)
	p := &publisher{
		repeats: sources.Repeats, channels: sources.Channels,
		messageBytesMax: messageBytesMax, batchBytesMax: batch, bodiesBytesMax: int64(max(bodiesBytesMax, batch)),
		wait:   publishWaitSecondsMax * time.Second,
		places: make(chan struct{}, publishesMax),
		results: newCounters(registry, "http_publishes_total", "Requests to publish over HTTP, by result: overloaded means that loops are behind or that too many publish at once; bus_down and unconfirmed that the bus failed, the latter that messages may have been published all the same.",
			"result", publishResults...),
		sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "c10m_http_messages_total", Help: "Messages that came over HTTP and that the bus took."}),
	}
	registry.MustRegister(p.sent)
	newGauge(registry, "http_publishes_waiting", "Requests to publish that wait for others to be done. A rise comes before c10m_http_publishes_total, result overloaded.",
		func() float64 { return float64(p.waiting.Load()) })
	return p
}

// A refusal is why nothing of a request was published: a status and a sentence.
type refusal struct {
	result string
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(result string, status int, format string, args ...any) error {
	return &refusal{result, status, fmt.Sprintf(format, args...)}
}

// serve answers one request; path is what follows /publish, percent-encoded.
func (p *publisher) serve(w http.ResponseWriter, r *http.Request, path string) {
	w.Header().Set("Cache-Control", "no-store")
	messages, reserved, err := p.request(w, r, path)
	if err == nil {
		err = p.hand(r.Context(), messages)
	}
	p.bodies.Add(-reserved)
	if no := (*refusal)(nil); errors.As(err, &no) {
		p.results.WithLabelValues(no.result).Inc()
		if no.result == resultOverloaded {
			w.Header().Set("Retry-After", strconv.Itoa(overloadRetrySeconds))
		}
		sayError(w, no.status, no.text)
		return
	}
	p.answer(w, messages, path != "")
}

// request reads and checks a request whole. An error is a refusal. reserved are the bytes
// of p.bodies that it takes, with an error, too.
func (p *publisher) request(w http.ResponseWriter, r *http.Request, path string) (messages []*bus.Publication, reserved int64, err error) {
	if err := p.allowed(w, r); err != nil {
		return nil, 0, err
	}
	key, err := keyOf(r, path != "")
	if err != nil {
		return nil, 0, err
	}
	var name []byte
	limit := p.batchBytesMax
	if path != "" {
		if name, err = admission.ParseChannel(path); err != nil {
			return nil, 0, refuse(resultBadRequest, http.StatusBadRequest, "%v", err)
		}
		limit = p.messageBytesMax
	}
	body, err := p.body(w, r, limit)
	reserved = int64(cap(body))
	switch {
	case err != nil:
	case path != "":
		messages = []*bus.Publication{{Channel: name, Key: key, Payload: body}}
	default:
		messages, err = p.parseBatch(body)
	}
	return messages, reserved, err
}

// keyOf is the Idempotency-Key of a request, nil if it has none. In a batch each message
// has its own, so there the field means nothing.
func keyOf(r *http.Request, single bool) (key []byte, err error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return nil, nil
	}
	if !single {
		return nil, refuse(resultBadRequest, http.StatusBadRequest, `in a batch each message has its key: {"channel":"news","data":"hello","key":"2f1c"}`)
	}
	key, ok := wire.ParseKey([]byte(values[0]))
	if !ok || len(values) > 1 {
		return nil, refuse(resultBadRequest, http.StatusBadRequest, "Idempotency-Key has to be one key of 1 to %d printable ASCII characters without blanks", wire.KeyBytesMax)
	}
	return key, nil
}

// allowed refuses what is no POST of a message.
func (p *publisher) allowed(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return refuse(resultBadRequest, http.StatusMethodNotAllowed, "only POST publishes")
	}
	if strings.Contains(r.RequestURI, "?") {
		return refuse(resultBadRequest, http.StatusBadRequest, "publishing has no query; a ? in a channel is written %%3F")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return refuse(resultBadRequest, http.StatusUnsupportedMediaType, "the body is published as it is: leave out Content-Encoding")
	}
	return nil
}

// body reads the body of a request, and reserves memory for it, as it comes, and not as it
// is announced: that of what it returns with an error, too.
func (p *publisher) body(w http.ResponseWriter, r *http.Request, limit int) (body []byte, err error) {
	if r.ContentLength > int64(limit) {
		return nil, p.tooBig(limit)
	}
	source, most := io.Reader(r.Body), int(r.ContentLength)
	if most < 0 { // chunked: it may become too long
		source, most = http.MaxBytesReader(w, r.Body, int64(limit)), limit+1
	}
	body, err = p.read(source, most)
	no, long := (*refusal)(nil), (*http.MaxBytesError)(nil)
	switch {
	case err == nil || errors.As(err, &no):
	case errors.As(err, &long):
		err = p.tooBig(limit)
	default:
		err = refuse(resultIncomplete, http.StatusBadRequest, "the body did not come whole within %d s, and nothing was published", requestSecondsMax)
	}
	return body, err
}

// read reads up to most bytes into memory that doubles, so that a client gets at most
// twice of what it has sent, and what comes in pieces is copied twice at the most.
func (p *publisher) read(source io.Reader, most int) (body []byte, err error) {
	for err == nil && len(body) < most {
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(max(2*cap(body), bodyStartBytes), most))
			copy(grown, body)
			isOver := p.bodies.Add(int64(cap(grown)-cap(body))) > p.bodiesBytesMax
			if body = grown; isOver {
				return body, refuse(resultOverloaded, http.StatusTooManyRequests, "too many bytes are being published; try again")
			}
		}
		var n int
		n, err = source.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
	}
	if err == io.EOF {
		err = nil
	}
	return body, err
}

func (p *publisher) tooBig(limit int) error {
	if limit == p.messageBytesMax {
		return refuse(resultTooBig, http.StatusRequestEntityTooLarge, "a message has at most %d bytes (--message-bytes)", limit)
	}
	return refuse(resultTooBig, http.StatusRequestEntityTooLarge, "the body of a batch has at most %d bytes", limit)
}

// hand gives messages to the bus, or refuses them if no place becomes free in
// time. Whoever has a place waits as long as the loops make publishers wait.
func (p *publisher) hand(ctx context.Context, messages []*bus.Publication) error {
	select {
	case p.places <- struct{}{}:
	default:
		if err := p.queue(ctx); err != nil {
			return err
		}
	}
	defer func() { <-p.places }()
	bus.PublishAll(ctx, p.repeats, messages)
	return nil
}

func (p *publisher) queue(ctx context.Context) error {
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) <= publishesWaitingMax {
		timer := time.NewTimer(p.wait)
		defer timer.Stop()
		select {
		case p.places <- struct{}{}:
			return nil
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return refuse(resultOverloaded, http.StatusTooManyRequests, "the server is behind with what was published before, and nothing of this was published; try again")
}

// answer says where the messages went, or what is known of those that the bus
// failed to take.
func (p *publisher) answer(w http.ResponseWriter, messages []*bus.Publication, single bool) {
	var failed error // the first of the gravest
	for _, m := range messages {
		if m.Err == nil {
			p.sent.Inc()
		}
		if gravity(m.Err) > gravity(failed) {
			failed = m.Err
		}
	}
	if failed != nil {
		p.failed(w, messages, failed, single)
		return
	}
	p.results.WithLabelValues(resultPublished).Inc()
	connections := bus.CountConnections(messages, p.channels)
	out := make([]byte, 0, 64*len(messages)+32)
	if single {
		sayJSON(w, http.StatusOK, appendSent(out, messages[0], connections[0]))
		return
	}
	out = append(out, `{"messages":[`...)
	for i, m := range messages {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendSent(out, m, connections[i])
	}
	sayJSON(w, http.StatusOK, append(out, "]}"...))
}

// gravity orders what can become of a message: the gravest of a batch is what the
// publisher has to know first.
func gravity(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, bus.ErrKeyReused):
		return 1 // no repetition helps
	case errors.Is(err, bus.ErrUnpublished):
		return 2 // it is to be repeated
	}
	return 3 // nobody knows
}

// failed answers for messages of which the bus failed to take at least one.
func (p *publisher) failed(w http.ResponseWriter, messages []*bus.Publication, err error, single bool) {
	result, status := resultBusDown, http.StatusServiceUnavailable
	text := "the bus did not take it (" + err.Error() + "), and it was not published"
	switch {
	case errors.Is(err, bus.ErrKeyReused):
		result, status, text = resultKeyReused, http.StatusUnprocessableEntity, "the key was another message's, and this one was not published"
		if !single {
			text = "keys were those of other messages, and the messages with them were not published"
		}
	case !errors.Is(err, bus.ErrUnpublished):
		result, text = resultUnconfirmed, "the bus did not answer ("+err.Error()+"), and it may have been published"
	}
	p.results.WithLabelValues(result).Inc()
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(busDownRetrySeconds))
	}
	out := appendError(nil, text)
	if single {
		sayJSON(w, status, out)
		return
	}
	out = append(out[:len(out)-1], `,"messages":[`...)
	for i, m := range messages {
		if i > 0 {
			out = append(out, ',')
		}
		published := "yes"
		if errors.Is(m.Err, bus.ErrUnpublished) {
			published = "no"
		} else if m.Err != nil {
			published = "unknown"
		}
		out = wire.AppendQuoted(append(out, `{"channel":`...), string(m.Channel))
		out = wire.AppendQuoted(append(out, `,"published":`...), published)
		out = append(out, '}')
	}
	sayJSON(w, status, append(out, "]}"...))
}

func appendSent(out []byte, m *bus.Publication, connections int) []byte {
	return wire.AppendPublished(out, string(m.Channel), connections, m.Subscribers, m.ID())
}

func appendError(out []byte, text string) []byte {
	return append(wire.AppendQuoted(append(out, `{"error":`...), text), '}')
}

// sayError answers with one sentence, as JSON.
func sayError(w http.ResponseWriter, status int, text string) {
	sayJSON(w, status, appendError(nil, text))
}

// sayJSON answers with a line of JSON. An error means that the peer is gone.
func sayJSON(w http.ResponseWriter, status int, value []byte) {
	value = append(value, '\n')
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(value)))
	w.WriteHeader(status)
	_, _ = w.Write(value)
}
