package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

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
