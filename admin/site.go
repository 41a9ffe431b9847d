package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"c10m/internal/secret"

	"github.com/prometheus/client_golang/prometheus"
)

// A site keeps web pages of others away. Their scripts can reach whatever their
// reader's browser can reach, this address included, and their own name may resolve
// to it (DNS rebinding).
type site struct {
	// Fixed after construction.
	names   []string // of Config.Hosts
	anyName bool     // there is a password, which a browser sends to no other name
	refused *prometheus.CounterVec
}

func newSite(config Config, registry prometheus.Registerer) *site {
	return &site{names: config.Hosts, anyName: config.Password != "", refused: newCounters(registry, "admin_refused_total",
		"Requests to the admin pages that were refused, by reason: host is a name that is not ours (--admin-host), web_page that a page of another origin made a browser ask. A rise means that somebody's page tries the admin address, or that a proxy uses a name of its own.",
		"reason", "host", "web_page")}
}

// isHealth reports whether a path is for load balancers, which ask by any name and
// without a password.
func isHealth(path string) bool {
	return path == "/healthz" || path == "/readyz" || path == "/livez"
}

// guard lets through whoever is no web page of others. Health answers everybody,
// with the bare status.
func (s *site) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reason, status, text := "host", http.StatusMisdirectedRequest, "without --admin-password, these pages answer to an IP address, to localhost and to the names of --admin-host"
		if s.isOurs(r.Host) {
			if !foreign(r) {
				next.ServeHTTP(w, r)
				return
			}
			reason, status, text = "web_page", http.StatusForbidden, "a web page of another origin may see and do nothing here"
		}
		if isHealth(r.URL.Path) {
			next.ServeHTTP(&statusOnly{ResponseWriter: w}, r)
			return
		}
		s.refused.WithLabelValues(reason).Inc()
		w.Header().Set("Cache-Control", "no-store")
		sayError(w, status, text)
	})
}

// isOurs judges a Host. No IP address can be rebound, whichever it is: a port may have
// been forwarded from anywhere. A request without Host is not a browser's.
func (s *site) isOurs(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" || s.anyName {
		return true
	}
	host = strings.TrimSuffix(host, ".")
	return strings.EqualFold(host, "localhost") ||
		slices.ContainsFunc(s.names, func(name string) bool { return strings.EqualFold(host, strings.TrimSuffix(name, ".")) })
}

// foreign reports whether a web page of another origin makes a browser ask: by
// Sec-Fetch-Site, which browsers send to loopback and over TLS, or by Origin. A link
// that somebody follows is not the page's doing.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
		origin := r.Header.Get("Origin")
		if origin == "" {
			return false
		}
		page, err := url.Parse(origin)
		return err != nil || page.Host != r.Host
	}
	return r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}

// guard asks for the password (RFC 7617) before it lets anybody see a page. The
// name of the user is not looked at: there is one operator. No password lets
// everybody in.
//
// Health pages answer without it, with the status and nothing that it is
// made of: cloud load balancers cannot send a password with their probes.
func guard(password *secret.Password, pages http.Handler) http.Handler {
	if !password.IsSet() {
		return pages
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		switch {
		case password.Is([]byte(given)):
			pages.ServeHTTP(w, r)
		case isHealth(r.URL.Path):
			bare := &statusOnly{ResponseWriter: w}
			pages.ServeHTTP(bare, r)
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="10m-server", charset="UTF-8"`)
			w.Header().Set("Cache-Control", "no-store")
			say(w, http.StatusUnauthorized, "The password of --admin-password is needed.\n")
		}
	})
}

// statusOnly lets the status of an answer through and replaces its text.
type statusOnly struct {
	http.ResponseWriter
	told bool
}

func (s *statusOnly) WriteHeader(status int) {
	s.ResponseWriter.WriteHeader(status)
	if s.told {
		return
	}
	s.told = true
	text := "ok\n"
	if status != http.StatusOK {
		text = "not ok; the password shows why\n"
	}
	_, _ = s.ResponseWriter.Write([]byte(text))
}

func (s *statusOnly) Write(p []byte) (int, error) {
	if !s.told {
		s.WriteHeader(http.StatusOK)
	}
	return len(p), nil
}
