package web

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// newProxy is a proxy as some offices have it: it refuses upgrades and, if buffers,
// gives an answer only when it has all of it.
func newProxy(t *testing.T, host, server string, buffers bool) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: server})
	proxy.FlushInterval = -1
	proxy.ErrorLog = log.New(io.Discard, "", 0) // of clients that leave
	if buffers {
		proxy.ModifyResponse = func(r *http.Response) error {
			whole, err := io.ReadAll(r.Body)
			r.Body.Close()
			r.Body = io.NopCloser(bytes.NewReader(whole))
			return err
		}
	}
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	front := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			http.Error(w, "No upgrades here.", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	})}}
	front.Start()
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	return front.URL
}

func addressOf(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
