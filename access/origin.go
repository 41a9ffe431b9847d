package access

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Origins is an allow-list of web origins (RFC 6454). A nil list allows all.
// It does not change after it was made, so any goroutine may use it.
type Origins struct {
	any, null bool
	patterns  []originPattern
}

// An originPattern is one origin, or with subdomains set all below it.
type originPattern struct {
	scheme, host string // in lower case
	subdomains   bool   // host begins with the dot, and something must precede it
	port         string // "" is the scheme's own, "*" is any
}

// ParseOrigins reads patterns like these; no pattern at all is a nil list.
//
//	https://example.com         this origin: scheme, host and port
//	https://*.example.com       all hosts below example.com, not itself
//	http://localhost:*          any port
//	null                        pages without an origin: files, sandboxed frames
//	*                           every origin
//
// An error is one sentence for the operator.
func ParseOrigins(texts []string) (*Origins, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	o := &Origins{}
	for _, text := range texts {
		switch text = strings.TrimSpace(text); text {
		case "*":
			o.any = true
			continue
		case "null":
			o.null = true
			continue
		}
		pattern, err := parseOriginPattern(text)
		if err != nil {
			return nil, err
		}
		o.patterns = append(o.patterns, pattern)
	}
	return o, nil
}

func parseOriginPattern(text string) (p originPattern, err error) {
	bad := func(why string) (originPattern, error) {
		return p, fmt.Errorf("%q is no origin: %s; write it like https://example.com, https://*.example.com, http://localhost:*, null or *", text, why)
	}
	lower := strings.ToLower(text)
	wild := strings.HasSuffix(lower, ":*")
	scheme, host, port, ok := cutOrigin([]byte(strings.TrimSuffix(lower, ":*")))
	if !ok {
		if strings.ContainsFunc(text, func(c rune) bool { return c > 0x7f }) {
			return bad("browsers send hosts in ASCII, so write the xn-- form of the host")
		}
		return bad("it has to be scheme://host or scheme://host:port and nothing more")
	}
	p = originPattern{scheme: string(scheme), host: string(host), port: string(port)}
	switch {
	case wild && p.port != "":
		return bad("it has two ports")
	case wild:
		p.port = "*"
	case p.port == defaultPorts[p.scheme]:
		p.port = "" // which is how browsers send it (RFC 6454, 6.2)
	}
	if rest, isWild := strings.CutPrefix(p.host, "*"); isWild {
		if len(rest) < 2 || rest[0] != '.' {
			return bad("an asterisk stands for whole labels at the beginning")
		}
		p.host, p.subdomains = rest, true
	}
	if strings.Contains(p.host, "*") {
		return bad("an asterisk stands for whole labels at the beginning")
	}
	return p, nil
}

var defaultPorts = map[string]string{"http": "80", "ws": "80", "https": "443", "wss": "443"}

// A Page is what a request says of the page that it comes from, if it comes from one.
type Page struct {
	Origin  []byte // the value of the first Origin
	Origins int    // how many lines of it there are
	Host    []byte // whom the request is for, with its port
	Site    []byte // Sec-Fetch-Site
}

// Allow reports whether the page that asks may connect.
//
// A request without an Origin is let through. Browsers send one with every
// WebSocket (RFC 6455, 4.1) and every POST (Fetch, 3.1), and it is the browser's user whom the list
// protects, from a foreign page that uses the cookies or the network of whoever
// looks at it (RFC 6455, 10.2). A program that leaves the field out could as well write
// there what it likes: the list is no authentication.
//
// Scheme and host are compared without regard to case, as RFC 6454, 4, compares
// them in lower case; the port is a number. More than one Origin field, or a
// list of origins in one (7.1 knows it, for redirects, which a WebSocket
// handshake has none of), is allowed only by "*".
func (o *Origins) Allow(p *Page) bool {
	return o == nil || o.any || p.Origins == 0 || p.Origins == 1 && o.match(p.Origin)
}

// AllowReader is Allow for a GET that reads a channel. A browser sends no Origin with
// one to the page's own origin, nor with one whose answer the page is not to read, so
// without an Origin two more things are looked at:
//
//   - Sec-Fetch-Site, if it is there. Another site's page that sends no Origin wants an
//     image or a script, and gets none here. (Browsers leave the field out where the
//     server has no TLS and is not localhost.)
//   - Host. A page whose name was bound to this server's address meanwhile (DNS
//     rebinding) is of the same origin as far as its browser knows; but the name in
//     Host is its own. So the host has to be one that nobody on the internet can have
//     (IsPrivateHost), or that of an origin of the list, whatever its scheme and port.
//     Who reads with programs under the server's public name lists
//     that name, too.
func (o *Origins) AllowReader(p *Page) bool {
	if !o.Allow(p) {
		return false
	}
	if o == nil || o.any || p.Origins > 0 {
		return true
	}
	switch string(p.Site) {
	case "cross-site", "same-site":
		return false
	}
	isListed := func(one originPattern) bool { return one.matchHost(hostOf(p.Host)) }
	return IsPrivateHost(p.Host) || slices.ContainsFunc(o.patterns, isListed)
}

// Restrict reports whether there is a list that does not allow everybody.
func (o *Origins) Restrict() bool { return o != nil && !o.any }

// privateSuffixes end names that no public DNS answers for: RFC 6761, 6.3 (localhost),
// RFC 6762 (local), ICANN's resolution of 2024-07-29 (internal), RFC 8375 (home.arpa).
var privateSuffixes = []string{".localhost", ".local", ".internal", ".home.arpa"}

// IsPrivateHost reports whether a Host, with or without a port, is one that a foreign
// page cannot have by DNS: an IP address, a name of one label (localhost, the name of a
// container), or one below privateSuffixes. Nobody at all is such, too. Any goroutine may call it.
func IsPrivateHost(hostPort []byte) bool {
	host := hostOf(hostPort)
	if len(host) == 0 || host[0] == '[' || bytes.IndexByte(host, '.') < 0 {
		return true
	}
	for _, suffix := range privateSuffixes {
		if n := len(host) - len(suffix); n > 0 && equalFold(host[n:], suffix) {
			return true
		}
	}
	address, err := netip.ParseAddr(string(host))
	return err == nil && address.Is4()
}

// hostOf is a Host without its port, and without the dot that ends an absolute name.
func hostOf(hostPort []byte) []byte {
	host := hostPort
	if colon := bytes.LastIndexByte(host, ':'); colon > bytes.IndexByte(host, ']') {
		host = host[:colon]
	}
	return bytes.TrimSuffix(host, []byte("."))
}

func (o *Origins) match(origin []byte) bool {
	if string(origin) == "null" {
		return o.null
	}
	scheme, host, port, ok := cutOrigin(origin)
	if !ok || bytes.IndexByte(host, '*') >= 0 {
		return false
	}
	return slices.ContainsFunc(o.patterns, func(p originPattern) bool { return p.match(scheme, host, port) })
}

func (p originPattern) match(scheme, host, port []byte) bool {
	if !equalFold(scheme, p.scheme) {
		return false
	}
	if p.port != "*" && string(port) != p.port && (p.port != "" || string(port) != defaultPorts[p.scheme]) {
		return false
	}
	return p.matchHost(host)
}

func (p originPattern) matchHost(host []byte) bool {
	if p.subdomains {
		if len(host) <= len(p.host) {
			return false
		}
		host = host[len(host)-len(p.host):]
	}
	return equalFold(host, p.host)
}

// cutOrigin takes "scheme://host:port" apart (RFC 6454, 6.2). What is no such
// thing to the last byte is not ok, so that nothing hides behind a host that
// ends in the right letters.
func cutOrigin(origin []byte) (scheme, host, port []byte, ok bool) {
	scheme, rest, found := bytes.Cut(origin, []byte("://"))
	if !found || !validScheme(scheme) {
		return nil, nil, nil, false
	}
	host = rest
	end := bytes.LastIndexByte(rest, ':')
	if bracket := bytes.IndexByte(rest, ']'); end > bracket {
		host, port = rest[:end], rest[end+1:]
		if n, err := strconv.ParseUint(string(port), 10, 16); err != nil || n == 0 || port[0] == '0' {
			return nil, nil, nil, false
		}
	}
	return scheme, host, port, validHost(host)
}

func validScheme(scheme []byte) bool {
	for i, c := range scheme {
		isLetter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !isLetter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(scheme) > 0
}

// validHost reports whether host is a name in ASCII, or an IP address as a URL
// has it. An asterisk is let pass, for patterns.
func validHost(host []byte) bool {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		address, err := netip.ParseAddr(string(host[1 : len(host)-1]))
		return err == nil && address.Is6() && address.Zone() == ""
	}
	for _, c := range host {
		isLetter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !isLetter && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' && c != '*' {
			return false
		}
	}
	return len(host) > 0
}

// equalFold compares without regard to case; lower is ASCII in lower case. What else folds
// to ASCII, as the Kelvin sign does to a k, is longer.
func equalFold(p []byte, lower string) bool {
	return len(p) == len(lower) && strings.EqualFold(string(p), lower)
}
