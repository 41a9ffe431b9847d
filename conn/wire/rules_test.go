package wire

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// The rules of RFC 9110 and 9112 for a request's head, each stated for itself and for
// all bytes at once, to hold the parser against.

const (
	token   = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	regName = "(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
)

var (
	requestLine = regexp.MustCompile(`^(` + token + `) (\S+) HTTP/([0-9])\.([0-9])$`)    // 9112, 3
	fieldLine   = regexp.MustCompile(`(?s)^(` + token + `):[ \t]*(.*?)[ \t]*$`)          // 9112, 5
	controls    = regexp.MustCompile(`[\x00-\x08\x0a-\x1f\x7f]`)                         // 9110, 5.5
	hostPort    = regexp.MustCompile(`^(?:` + regName + `|\[([^\]]*)\])(?::[0-9]*)?$`)   // 9110, 7.2
	future      = regexp.MustCompile(`^[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+$`) // 3986, 3.2.2
	absolute    = regexp.MustCompile(`^(?i:https?|wss?)://([^/?]+)(?:[/?].*)?$`)         // 9112, 3.2.2
	digits      = regexp.MustCompile(`^[0-9]+$`)                                         // 9110, 8.6
	badTarget   = regexp.MustCompile(`[\x00-\x20\x7f#]`)                                 // 3986, 3.4 and 3.5
)

// lawful says which rule a head breaks, of those that are given as a whole one: it ends
// in an empty line. Empty is none.
func lawful(head string) string {
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	first := requestLine.FindStringSubmatch(lines[0])
	if first == nil || badTarget.MatchString(first[2]) {
		return "request-line"
	}
	method, target, major, isOld := first[1], first[2], first[3], first[4] == "0"
	if major != "1" {
		return "HTTP-version"
	}
	switch form := absolute.FindStringSubmatch(target); {
	case method == "CONNECT" && target[0] != '/':
		if !isHost(target) {
			return "authority-form"
		}
	case target[0] == '/':
	case target == "*" && method == "OPTIONS":
	case form == nil || !isHost(form[1]):
		return "request-target"
	}
	var hosts, lengths, codings []string
	for _, line := range lines[1:] {
		field := fieldLine.FindStringSubmatch(line)
		if field == nil || controls.MatchString(field[2]) {
			return "field-line"
		}
		switch strings.ToLower(field[1]) {
		case "host":
			hosts = append(hosts, field[2])
		case "content-length":
			lengths = append(lengths, field[2])
		case "transfer-encoding":
			codings = append(codings, strings.Split(field[2], ",")...)
		}
	}
	switch {
	case len(hosts) > 1, len(hosts) == 0 && !isOld, len(hosts) == 1 && !isHost(hosts[0]):
		return "Host"
	case len(lengths) > 1, len(lengths) == 1 && !digits.MatchString(lengths[0]):
		return "Content-Length"
	case codings != nil && (isOld || lengths != nil):
		return "Transfer-Encoding beside something"
	case codings != nil && !isChunked(codings):
		return "Transfer-Encoding"
	}
	return ""
}

func isHost(text string) bool {
	parts := hostPort.FindStringSubmatch(text)
	if parts == nil {
		return false
	}
	if !strings.HasPrefix(text, "[") {
		return true
	}
	address, err := netip.ParseAddr(parts[1])
	return future.MatchString(parts[1]) || err == nil && address.Is6() && address.Zone() == ""
}

// isChunked: chunked is the last coding, and is there once (9112, 6.3 and 7.1).
func isChunked(codings []string) bool {
	count, last := 0, ""
	for _, coding := range codings {
		if coding = strings.ToLower(strings.Trim(coding, " \t")); coding == "" {
			continue
		}
		if last = coding; coding == "chunked" {
			count++
		}
	}
	return count == 1 && last == "chunked"
}

// bodyOf is how long the body of a lawful head is: -1 is chunked.
func bodyOf(head string) int64 {
	for _, line := range strings.Split(head, "\r\n")[1:] {
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "transfer-encoding":
			return -1
		case "content-length":
			n, err := strconv.ParseInt(strings.Trim(value, " \t"), 10, 64)
			if err != nil {
				return 1<<63 - 1
			}
			return n
		}
	}
	return 0
}
