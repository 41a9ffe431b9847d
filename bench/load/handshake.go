package load

import (
	"bytes"
	"fmt"
	"iter"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// A requester writes requests over HTTP, which all but two carriers begin with.
type requester struct {
	// Fixed after construction.
	channel string // with %d for the number of the connection
	number  bool
	path    func(channel string) string // nil: "/" and the channel
	token   string                      // for Authorization; empty: none
}

func newRequester(d *Dialect, channel, token string) requester {
	return requester{channel: channel, number: strings.Contains(channel, "%d"), path: d.path, token: token}
}

// channelOf is the name of the channel of a connection.
func (r requester) channelOf(number int) string {
	if !r.number {
		return r.channel
	}
	return strings.ReplaceAll(r.channel, "%d", strconv.Itoa(number))
}

// beginGet appends a GET of a connection up to its Host. Each field that follows begins
// with a line end, and endGet comes last.
func (r requester) beginGet(dst []byte, target netip.AddrPort, number int) []byte {
	dst = append(dst, "GET "...)
	if channel := r.channelOf(number); r.path != nil {
		dst = append(dst, r.path(channel)...)
	} else {
		dst = append(append(dst, '/'), url.PathEscape(channel)...)
	}
	return target.AppendTo(append(dst, " HTTP/1.1\r\nHost: "...))
}

func (r requester) endGet(dst []byte) []byte {
	if r.token != "" {
		dst = append(dst, "\r\nAuthorization: Bearer "...)
		dst = append(dst, r.token...)
	}
	return append(dst, "\r\n\r\n"...)
}

// An answer is what the server said to a request.
type answer struct {
	bytes   int    // of it; 0: not all is there yet
	refusal int    // the status of a refusal; 0: it is none
	problem string // not empty: the answer is not what it has to be
}

// parseAnswer reads the head of a response that has to have a status and headers that
// check says nothing against; what stands from fresh on has just come. A refusal counts
// as complete with its status line: its body is of no interest.
func parseAnswer(p []byte, fresh, status int, check func(headers []byte) (problem string)) answer {
	if bytes.IndexByte(p[fresh:], '\n') < 0 && len(p) < responseBytesMax {
		return answer{} // what comes byte by byte is not read anew for each
	}
	line, rest, found := bytes.Cut(p, []byte("\r\n"))
	if !found {
		return tooLong(p)
	}
	got, err := statusOf(line)
	if err != nil {
		return answer{bytes: len(line), problem: err.Error()}
	}
	if got != status {
		return answer{bytes: len(line), refusal: got}
	}
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return tooLong(p)
	}
	return answer{bytes: end + 4, problem: check(rest[:max(0, end-len(line))])}
}

func tooLong(p []byte) answer {
	if len(p) >= responseBytesMax {
		return answer{bytes: len(p), problem: fmt.Sprintf("the response head is longer than %d bytes", responseBytesMax)}
	}
	return answer{}
}

func statusOf(line []byte) (int, error) {
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " || len(line) > 12 && line[12] != ' ' {
		return 0, fmt.Errorf("the answer is not HTTP/1.1: %.40q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return 0, fmt.Errorf("the status is not a number: %.40q", line)
	}
	return status, nil
}

// fieldsOf are names and values of lines that each end with CRLF.
func fieldsOf(headers []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(headers) > 0 {
			line, rest, _ := bytes.Cut(headers, []byte("\r\n"))
			headers = rest
			name, value, _ := bytes.Cut(line, []byte(":"))
			if !yield(name, bytes.TrimSpace(value)) {
				return
			}
		}
	}
}

// asciiFold compares with a lower-case word, without allocating.
func asciiFold(p []byte, word string) bool {
	if len(p) != len(word) {
		return false
	}
	for i, c := range p {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
