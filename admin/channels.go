package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"c10m/conn/admission"
	"c10m/conn/wire"
	"c10m/internal/glob"
)

// A lister serves /channels: who is connected to what, on this server.
type lister struct {
	// Fixed after construction.
	channels Channels
	places   chan struct{} // as many tokens as listings under way
}

// serve answers for one channel, or for all if path, what follows /channels, is empty.
func (l *lister) serve(w http.ResponseWriter, r *http.Request, path string) {
	if path == "" {
		l.all(w, r)
	} else {
		l.one(w, path)
	}
}

func (l *lister) one(w http.ResponseWriter, path string) {
	name, err := admission.ParseChannel(path)
	if err != nil {
		sayError(w, http.StatusBadRequest, err.Error())
		return
	}
	sayJSON(w, http.StatusOK, appendCount(nil, string(name), l.channels.Count([]string{string(name)})[0]))
}

func (l *lister) all(w http.ResponseWriter, r *http.Request) {
	pattern, limit, err := listQuery(r.URL.RawQuery)
	if err != nil {
		sayError(w, http.StatusBadRequest, err.Error())
		return
	}
	select {
	case l.places <- struct{}{}:
		defer func() { <-l.places }()
	default:
		w.Header().Set("Retry-After", strconv.Itoa(overloadRetrySeconds))
		sayError(w, http.StatusTooManyRequests, fmt.Sprintf("%d listings are under way; try again", listingsMax))
		return
	}
	// One more than is shown tells whether there are more.
	names := l.channels.Channels(func(name string) bool { return glob.Match(pattern, name) }, limit+1)
	more := len(names) > limit
	names = names[:min(len(names), limit)]
	slices.Sort(names)
	out := []byte(`{"channels":[`)
	for i, n := range l.channels.Count(names) {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendCount(out, names[i], n)
	}
	out = strconv.AppendBool(append(out, `],"more":`...), more)
	sayJSON(w, http.StatusOK, append(out, '}'))
}

// listQuery is what a listing is asked for. An error is one sentence.
func listQuery(raw string) (pattern string, limit int, err error) {
	pattern, limit = "*", listedDefault
	query, err := url.ParseQuery(raw)
	if err != nil {
		return "", 0, fmt.Errorf("the query is malformed: %w", err)
	}
	for key, values := range query {
		value := values[0]
		switch {
		case len(values) > 1:
			return "", 0, fmt.Errorf("%.40q is there twice", key)
		case key == "match":
			if pattern = value; len(pattern) > listPatternBytesMax {
				return "", 0, fmt.Errorf("a pattern has at most %d bytes", listPatternBytesMax)
			}
		case key == "limit":
			if limit, err = strconv.Atoi(value); err != nil || limit < 1 || limit > listedMax {
				return "", 0, fmt.Errorf("limit is a number from 1 to %d", listedMax)
			}
		default:
			return "", 0, fmt.Errorf("there is no parameter %.40q, only match and limit", key)
		}
	}
	return pattern, limit, nil
}

func appendCount(out []byte, name string, connections int) []byte {
	return wire.AppendPublished(out, name, connections, -1, "")
}
