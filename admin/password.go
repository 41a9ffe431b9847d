package admin

import (
	"net/http"

	"c10m/internal/secret"
)

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
