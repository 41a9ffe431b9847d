package conn

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/poller"
)

// A Page is one of the server's own, served on every port at its path, which
// begins with /-/. It is public: neither a token nor a channel is asked for.
type Page struct {
	Path, ContentType string
	Policy            string // Content-Security-Policy; "" is none
	Body              []byte
}

// A page is the whole answers for a Page, made once and shared by all loops; the
// index says whether it is the last on its connection.
type page struct {
	tag        string // strong, of the content: a browser asks again, and gets 304
	whole      [2][]byte
	headOnly   [2][]byte
	unmodified [2][]byte
}

func newPages(pages []Page) map[string]*page {
	all := make(map[string]*page)
	hasDemo := false
	for _, p := range pages {
		hasDemo = hasDemo || p.Path == "/-/demo"
		if !strings.HasPrefix(p.Path, "/-/") {
			panic("BUG: a page of our own at " + p.Path)
		}
	}
	for _, p := range append(rootPages(hasDemo), pages...) {
		sum := sha256.Sum256(p.Body)
		made := &page{tag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
		for isLast, last := range []string{"", wire.LastField} {
			// no-cache: to be asked for again each time, which an upgrade of the
			// server needs.
			common := wire.CORSFields + last + "ETag: " + made.tag + "\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
			if p.Policy != "" {
				common += "Content-Security-Policy: " + p.Policy + "\r\n"
			}
			if p.Path == rootText || p.Path == rootHTML {
				common += "Vary: Accept\r\n"
			}
			head := fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n", common, p.ContentType, len(p.Body))
			made.headOnly[isLast] = []byte(head)
			made.whole[isLast] = append([]byte(head), p.Body...)
			made.unmodified[isLast] = []byte("HTTP/1.1 304 Not Modified\r\n" + common + "\r\n")
		}
		all[p.Path] = made
	}
	return all
}

// preflight answers OPTIONS, for any path: what may be asked of it is known from
// its answer.
func (s *exchange) preflight(fd uint32, h *wire.Head) verdict {
	if reason := s.gate.judge.Plain(h); reason != reasons.None {
		s.refuse(fd, reason)
		return verdictOver
	}
	isLast := s.isLast(h)
	s.later = wire.AppendPreflight(s.later[:0], h, isLast)
	return s.respond(fd, isLast, s.later)
}

// rootPage says what this server is: as HTML to a browser, as text to a program.
func (s *exchange) rootPage(fd uint32, h *wire.Head) verdict {
	if reason := s.gate.judge.Plain(h); reason != reasons.None {
		s.refuseRequest(fd, h.Bytes(), reason)
		return verdictOver
	}
	path := rootText
	if h.AcceptsHTML() {
		path = rootHTML
	}
	return s.servePage(fd, h, s.shared.pages[path])
}

// ownPage answers GET and HEAD below /-/.
func (s *exchange) ownPage(fd uint32, h *wire.Head) verdict {
	reason := s.gate.judge.Plain(h)
	if reason == reasons.None {
		if page := s.shared.pages[string(h.Path())]; page != nil {
			return s.servePage(fd, h, page)
		}
		const channels = "/-/channels"
		if strings.HasPrefix(string(h.Path()), channels+"/") {
			return s.countPage(fd, h, h.Path()[len(channels):])
		}
		reason = reasons.RequestReserved
	}
	s.refuseRequest(fd, h.Bytes(), reason)
	return verdictOver
}

func (s *exchange) servePage(fd uint32, h *wire.Head, p *page) verdict {
	isLast := s.isLast(h)
	answer := p.whole
	var known [8][]byte
	switch {
	case wire.HasTag(h.Lines(wire.IfNoneMatch, known[:]), p.tag):
		answer = p.unmodified
	case isHead(h.Bytes()):
		answer = p.headOnly
	}
	return s.respond(fd, isLast, answer[indexOf(isLast)])
}

func indexOf(isLast bool) int {
	if isLast {
		return 1
	}
	return 0
}

// A Counter knows how many connections channels have (channel.Hub).
type Counter interface {
	// Count and Presence wait for the loops. Presence is empty where nobody is told of
	// it (Config.NewPresence).
	Count(channels []string) []int
	Presence(channel string) []channel.Part
}

// CountWith has /-/channels/<channel> answered. Any goroutine may call it, once.
func (s *Shared) CountWith(counter Counter) { s.counter.Store(&counter) }

// countBusy tells whoever asks too much.
var countBusy = wire.Failure{Status: 429, RetrySeconds: 1, Text: "Too many ask at once: try again."}

// countPage answers how many connections a channel has, on all loops, to whoever
// may subscribe to it. The loops are asked by a goroutine, as no loop may wait for
// another; countsMax bounds these.
func (s *exchange) countPage(fd uint32, h *wire.Head, path []byte) verdict {
	if reason := s.gate.judge.Reader(h, path); reason != reasons.None {
		s.refuseRequest(fd, h.Bytes(), reason)
		return verdictOver
	}
	isLast, isHead := s.isLast(h), isHead(h.Bytes())
	counter := s.shared.counter.Load()
	if counter == nil || s.counts >= countsMax {
		return s.respond(fd, isLast, wire.AnswerTo(isHead, countBusy.Append(nil, isLast)))
	}
	c := s.coldOf(fd)
	if c == nil {
		s.refuseRequest(fd, h.Bytes(), reasons.RequestMemory)
		return verdictOver
	}
	s.keepAsker(c)
	c.pending++
	c.isLast, c.isCounting = isLast, true
	s.enter(fd, phaseAnswer)
	s.counts++
	id, name := s.identityOf(fd), string(s.gate.judge.Channel)
	go func() {
		var body []byte
		if s.presence != nil {
			var parts []wire.Part
			for _, p := range (*counter).Presence(name) {
				parts = append(parts, partOf(p))
			}
			body = wire.AppendPresence(nil, name, parts)
		} else {
			body = wire.AppendPublished(nil, name, (*counter).Count([]string{name})[0], -1, "")
		}
		body = append(body, '\n')
		s.loop.Run(func(*poller.Loop) {
			s.counts--
			s.answerLater(id, func(out []byte, isLast bool) []byte {
				return append(out, wire.AnswerTo(isHead, wire.AppendAnswer(nil, 200, "", "application/json", body, isLast))...)
			})
			s.sayAnswers()
		})
	}()
	if isLast {
		return verdictOver
	}
	return verdictNext
}
