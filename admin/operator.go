package admin

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"c10m/channel"
	"c10m/conn/operator"

	"go.uber.org/zap"
)

// The operator's page: what is in look/, and the JSON that it asks for.

//go:embed look
var lookFiles embed.FS

// Operator is what the loops tell of their connections, and how to close some
// (operator.Operator). Its methods are called from many goroutines; a loop that has not
// answered when the context is done is left out.
type Operator interface {
	Silent(ctx context.Context) (loops []int)
	Look(ctx context.Context) []*operator.Look
	Survey(ctx context.Context, match func(name string) bool) []*channel.Surveyed
	Clients(ctx context.Context, name string) (clients []operator.Client, members int)
	Disconnect(ctx context.Context, id operator.ClientID) (bool, error)
	DisconnectChannel(ctx context.Context, name string, over time.Duration) (clients int, err error)
}

type operatorPage struct {
	// Fixed after construction.
	sources *Sources
	history *history
	log     *zap.Logger
	files   http.Handler

	looks   cached[lookAnswer]
	surveys cached[surveyAnswer]
}

func newOperatorPage(sources *Sources, log *zap.Logger) *operatorPage {
	files, err := fs.Sub(lookFiles, "look")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return &operatorPage{
		sources: sources, log: log,
		history: newHistory(sources, time.Now()),
		files:   http.FileServerFS(files),
		looks:   newCached[lookAnswer](),
		surveys: newCached[surveyAnswer](),
	}
}

// contentPolicy lets the page load what is here and nothing else, and nobody show
// it in a frame, where a click could be stolen.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// serve answers one request; path is what follows /operator.
func (p *operatorPage) serve(w http.ResponseWriter, r *http.Request, path string) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", contentPolicy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	if path == "/disconnect" {
		p.disconnect(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		sayError(w, http.StatusMethodNotAllowed, "only GET and HEAD are understood here")
		return
	}
	switch path {
	case "":
		http.Redirect(w, r, "/operator/", http.StatusMovedPermanently)
	case "/state":
		p.state(w, r)
	case "/channels":
		p.channels(w, r)
	case "/clients":
		p.clients(w, r)
	default:
		http.StripPrefix("/operator", p.files).ServeHTTP(w, r)
	}
}

func (p *operatorPage) say(w http.ResponseWriter, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	sayJSON(w, http.StatusOK, text)
}

func (p *operatorPage) clients(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("channel")
	if !channel.ValidName([]byte(name)) {
		sayError(w, http.StatusBadRequest, channel.ErrName.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), operatorSecondsMax*time.Second)
	defer cancel()
	clients, members := p.sources.Operator.Clients(ctx, name)
	shown := append([]operator.Client{}, clients[:min(len(clients), clientsShownMax)]...) // [], not null
	p.say(w, clientsAnswer{name, members, shown})
}

// A disconnection is the body of a POST: one client, or a channel.
type disconnection struct {
	Client      *operator.ClientID `json:"client"`
	Channel     *string            `json:"channel"`
	OverSeconds float64            `json:"overSeconds"`
}

// disconnect closes a client or those of a channel. The body has to be JSON, which
// no form can send.
func (p *operatorPage) disconnect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		sayError(w, http.StatusMethodNotAllowed, "only POST disconnects")
		return
	}
	if mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); mediaType != "application/json" {
		sayError(w, http.StatusUnsupportedMediaType, "Content-Type must be application/json")
		return
	}
	ask, err := readDisconnection(http.MaxBytesReader(w, r.Body, disconnectBytesMax))
	if err != nil {
		sayError(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), operatorSecondsMax*time.Second)
	defer cancel()
	clients := 0
	if ask.Client != nil {
		var found bool
		if found, err = p.sources.Operator.Disconnect(ctx, *ask.Client); found {
			clients = 1
		}
	} else {
		clients, err = p.sources.Operator.DisconnectChannel(ctx, *ask.Channel, time.Duration(ask.OverSeconds*float64(time.Second)))
	}
	switch {
	case errors.Is(err, operator.ErrDisconnects):
		sayError(w, http.StatusTooManyRequests, err.Error())
		return
	case err != nil:
		sayError(w, http.StatusServiceUnavailable, "the loop did not answer in time; it may do it all the same")
		return
	}
	p.log.Info("the operator disconnects", zap.String("from", r.RemoteAddr), zap.Any("what", ask), zap.Int("clients", clients))
	p.say(w, disconnectAnswer{clients})
}

// readDisconnection reads and checks a body. An error is one sentence.
func readDisconnection(body io.Reader) (ask disconnection, err error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return ask, fmt.Errorf("the body is too long, or did not come whole")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&ask); err != nil || decoder.More() {
		return ask, errors.New(`the body is {"client":{"loop":0,"fd":0,"generation":0}} or {"channel":"name","overSeconds":10}`)
	}
	switch {
	case (ask.Client == nil) == (ask.Channel == nil):
		return ask, errors.New("name a client or a channel, and not both")
	case ask.Channel != nil && !channel.ValidName([]byte(*ask.Channel)):
		return ask, channel.ErrName
	case ask.OverSeconds < 0 || ask.OverSeconds > disconnectSecondsMax:
		return ask, fmt.Errorf("overSeconds is a number from 0 to %d", disconnectSecondsMax)
	}
	return ask, nil
}
