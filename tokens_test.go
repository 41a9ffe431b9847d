package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/golang-jwt/jwt/v5"
)

// keyFile is a file of a secret, and a maker of tokens that it is good for.
type keyFile struct {
	t    *testing.T
	path string
}

func newKeyFile(t *testing.T) keyFile {
	return keyFile{t, filepath.Join(t.TempDir(), "key")}
}

func (k keyFile) write(content string) {
	k.t.Helper()
	// As one should: nobody ever reads half a file.
	if err := os.WriteFile(k.path+".new", []byte(content), 0o600); err != nil {
		k.t.Fatal(err)
	}
	if err := os.Rename(k.path+".new", k.path); err != nil {
		k.t.Fatal(err)
	}
}

func secretOf(name string) string { return strings.Repeat(name, 32)[:32] }

func tokenOf(t *testing.T, name string, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secretOf(name)))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// dialWith connects to news with a token in the subprotocols, as a browser does,
// and returns the status of the answer.
func dialWith(t *testing.T, s *servertest.Server, token string) (status int, c net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dialer := ws.Dialer{Protocols: []string{"c10m.token", token}, OnStatusError: func(got int, _ []byte, _ io.Reader) { status = got }}
	c, reader, handshake, err := dialer.Dial(ctx, fmt.Sprintf("ws://127.0.0.1:%d/news", s.Port))
	if err != nil {
		return status, nil
	}
	if handshake.Protocol != "c10m.token" {
		t.Errorf("the server chose %q", handshake.Protocol)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(patience.Deadline())
	if reader != nil {
		return 101, &earlyConn{c, reader}
	}
	return 101, c
}

func readFrame(c net.Conn) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(c); err != nil {
		return f, err
	}
	f.Payload = make([]byte, min(f.Header.Length, 1<<20))
	_, err = io.ReadFull(c, f.Payload)
	return f, err
}

type earlyConn struct {
	net.Conn
	early *bufio.Reader
}

func (c *earlyConn) Read(p []byte) (int, error) { return c.early.Read(p) }

// The real server: who has no token is out, SIGHUP takes new keys and leaves the
// connections alone, a bad file changes nothing, and nothing of a token is logged.
func TestTokensAndTheirRotation(t *testing.T) {
	key := newKeyFile(t)
	key.write(secretOf("a"))
	s := servertest.StartServer(t, 0, "--token-key", key.path, "--log-level", "debug")
	if !strings.Contains(s.Output.String(), "by token (keys: 1;") {
		t.Errorf("the greeting does not say who may subscribe:\n%s", s.Output.String())
	}
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/news", s.Port))
	if err != nil || answer.StatusCode != 426 {
		t.Fatalf("%v %v", answer, err)
	}
	answer.Body.Close()
	claims := jwt.MapClaims{"subscribe": "*", "exp": time.Now().Unix() + 3600}
	tokenA, tokenB := tokenOf(t, "a", claims), tokenOf(t, "b", claims)
	status, old := dialWith(t, s, tokenA)
	if status != 101 {
		t.Fatalf("a good token: %d", status)
	}
	for what, c := range map[string]struct {
		token string
		want  int
	}{"another key": {tokenB, 401}, "another channel": {tokenOf(t, "a", jwt.MapClaims{"subscribe": "sport"}), 403}} {
		if status, _ := dialWith(t, s, c.token); status != c.want {
			t.Errorf("%s: %d", what, status)
		}
	}
	lines := 0
	for _, step := range []struct {
		key, says string
		a, b      int
	}{
		{"{", "stay as they were", 101, 401},
		{secretOf("b"), "were read again", 401, 101},
		{"", "stay as they were", 401, 101},
	} {
		key.write(step.key)
		s.Signal(syscall.SIGHUP)
		lines++
		servertest.Eventually(t, "the signal is answered", func() bool { return strings.Count(s.Output.String(), "SIGHUP: ") == lines })
		if last := s.Output.String()[strings.LastIndex(s.Output.String(), "SIGHUP: "):]; !strings.Contains(last, step.says) {
			t.Errorf("key %q: %s", step.key, last)
		}
		a, _ := dialWith(t, s, tokenA)
		b, _ := dialWith(t, s, tokenB)
		if a != step.a || b != step.b {
			t.Errorf("key %q: the tokens get %d and %d, want %d and %d", step.key, a, b, step.a, step.b)
		}
	}
	// tokenA once and tokenB twice since: four with the first one.
	servertest.RedisCLI(t, s.Bus, "PUBLISH", "news", "hello")
	if f, err := readFrame(old); err != nil || string(f.Payload) != "hello" {
		t.Fatalf("the connection of the key that is gone: %v %v", f, err)
	}
	if n := s.Metric(`c10m_closes_total{reason="token_expired"}`); n != 0 {
		t.Errorf("%v connections ended by a rotation", n)
	}
	if n := s.Metric(`c10m_closes_total{reason="request_token_channel"}`); n != 1 {
		t.Errorf("%v refusals for the channel are counted", n)
	}
	for _, secret := range []string{tokenA, tokenB, tokenA[:20], secretOf("a"), secretOf("b")} {
		if strings.Contains(s.Output.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, s.Output.String())
		}
	}
}

// The real server and its clock: a connection ends with its token, with a close
// code that says so, and the next one with that token is refused.
func TestAConnectionEndsWithItsToken(t *testing.T) {
	key := newKeyFile(t)
	key.write(secretOf("a"))
	s := servertest.StartServer(t, 0, "--token-key", key.path)
	// 5 s of leeway, so it is over in about 2 s.
	token := tokenOf(t, "a", jwt.MapClaims{"subscribe": "*", "exp": time.Now().Unix() - 3})
	status, c := dialWith(t, s, token)
	if status != 101 {
		t.Fatalf("a token within its leeway: %d", status)
	}
	f, err := readFrame(c)
	if err != nil || f.Header.OpCode != ws.OpClose {
		t.Fatalf("%v %v", f, err)
	}
	if code, text := ws.ParseCloseFrameData(f.Payload); code != 1008 || text != "token expired" {
		t.Errorf("close code %d, %q", code, text)
	}
	if status, _ := dialWith(t, s, token); status != 401 {
		t.Errorf("the token again: %d", status)
	}
	if n := s.Metric(`c10m_closes_total{reason="token_expired"}`); n != 1 {
		t.Errorf("%v are counted", n)
	}
}

// 10m-client shows a token, so that what tokens cost can be measured.
func TestClientWithAToken(t *testing.T) {
	key := newKeyFile(t)
	key.write(secretOf("a"))
	s := servertest.StartServer(t, 0, "--token-key", key.path)
	run := func(token string) (connected float64) {
		t.Setenv("C10M_TOKEN", token)
		client := servertest.Start(t, servertest.Binary("10m-client"), "fanout", "127.0.0.1", "50", "--first-port", fmt.Sprint(s.Port),
			"--bus", fmt.Sprintf("127.0.0.1:%d", s.Bus), "--duration", "1s", "--json", "--retries", "0")
		client.Wait()
		var result map[string]any
		if err := json.Unmarshal([]byte(client.Stdout.String()), &result); err != nil {
			return 0
		}
		return s.Metric("c10m_handshakes_total")
	}
	if n := run(tokenOf(t, "b", jwt.MapClaims{"subscribe": "*"})); n != 0 {
		t.Errorf("%v connections with a bad token", n)
	}
	if n := run(tokenOf(t, "a", jwt.MapClaims{"subscribe": "*"})); n != 50 {
		t.Errorf("%v of 50 connections with a good token", n)
	}
}

func TestWhatAnOperatorDoesWrongWithTokens(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("password"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(t.TempDir(), "good")
	if err := os.WriteFile(good, []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--token-key", "/no/such/file"}, "/no/such/file"},
		{[]string{"--token-key", short}, "shorter than 32"},
		{[]string{"--token-jwks", short}, "no JSON Web Key Set"},
		{[]string{"--token-audience", "us"}, "--token-key"},
		{[]string{"--token-query", "token"}, "--token-key"},
		{[]string{"--token-key", ""}, "--token-key is empty"},
		{[]string{"--token-jwks="}, "--token-jwks is empty"},
		{[]string{"--token-key", good, "--token-audience", ""}, "--token-audience is empty"},
		{[]string{"--origin", ""}, "--origin is empty"},
	} {
		args := append([]string{"--listen", fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t)), "--bus-listen", "127.0.0.1:0", "--admin", "off"}, c.args...)
		p := servertest.Start(t, servertest.Binary("10m-server"), args...)
		if status := p.Wait(); status <= 0 || !strings.Contains(p.Output.String(), c.says) {
			t.Errorf("%v: status %d, does not say %q:\n%s", c.args, status, c.says, p.Output.String())
		}
	}
}

// A variable that is there and empty is a mistake in a unit or a compose file, and
// does not open the server to everybody.
func TestAnEmptyVariableLetsNobodyIn(t *testing.T) {
	for _, name := range []string{"C10M_TOKEN_KEY", "C10M_TOKEN_JWKS", "C10M_ORIGIN", "C10M_BUS_PASSWORD", "C10M_BUS_PASSWORD_FILE", "C10M_ADMIN_PASSWORD_FILE"} {
		p := servertest.Start(t, "env", name+"=", servertest.Binary("10m-server"),
			"--listen", fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t)), "--bus-listen", "127.0.0.1:0", "--admin", "off")
		if status := p.Wait(); status <= 0 || !strings.Contains(p.Output.String(), name+" is set and empty") {
			t.Errorf("%s: status %d:\n%s", name, status, p.Output.String())
		}
	}
}
