package conn

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"c10m/access"
	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
	"c10m/poller"
	"c10m/poller/epoll/epolltest"
	"c10m/poller/pollertest"

	"github.com/gobwas/ws"
	"github.com/golang-jwt/jwt/v5"
)

const tokenSecret = "a secret of more than 32 bytes, as it has to be"

// wall is a clock for tokens that the test moves.
type wall struct{ unix atomic.Int64 }

func (w *wall) now() time.Time { return time.Unix(w.unix.Load(), 0) }

// tokenConfig is testConfig with a key and a clock that stands still.
func tokenConfig(t testing.TB) (Config, *wall) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(tokenSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &wall{}
	w.unix.Store(1_800_000_000)
	tokens, err := access.NewTokens(access.TokenConfig{KeyFiles: []string{path}, Audiences: []string{"us"}, Query: "t", Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	config := testConfig()
	config.PingInterval = 0
	config.Tokens = tokens
	return config, w
}

func sign(t testing.TB, secret string, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// tokenRequest is a good request with one more line.
func tokenRequest(path, line string) []byte {
	return []byte(strings.Replace(upgradeRequest(path), "Host: h\r\n", "Host: h\r\n"+line+"\r\n", 1))
}

func TestTokensAtTheDoor(t *testing.T) {
	config, w := tokenConfig(t)
	s := startServer(t, 1, config)
	now := w.unix.Load()
	claims := func(more jwt.MapClaims) jwt.MapClaims {
		all := jwt.MapClaims{"aud": "us", "subscribe": []string{"news", "x*"}, "exp": now + 60}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	good := sign(t, tokenSecret, claims(nil))
	want := make(map[reasons.Reason]int)
	for _, c := range []struct {
		path, line string
		reason     reasons.Reason
		protocol   string // answered
	}{
		{"/news", "Authorization: Bearer " + good, reasons.None, ""},
		{"/news", "Sec-WebSocket-Protocol: c10m.token, " + good, reasons.None, "c10m.token"},
		{"/news?t=" + good, "X: y", reasons.None, ""},
		{"/xyz", "Authorization: Bearer " + good, reasons.None, ""},
		{"/news", "X: y", reasons.RequestTokenMissing, ""},
		{"/news?token=" + good, "X: y", reasons.RequestTokenMissing, ""},
		{"/news?t=" + good, "Authorization: Bearer " + good, reasons.RequestTokenPlaces, ""},
		{"/news", "Authorization: Bearer " + good + "\r\nAuthorization: Bearer " + good, reasons.RequestTokenPlaces, ""},
		{"/news", "Authorization: Bearer " + good + "x", reasons.RequestTokenInvalid, ""},
		{"/news", "Sec-WebSocket-Protocol: c10m.token, rubbish", reasons.RequestTokenInvalid, ""},
		{"/news", "Authorization: Bearer " + sign(t, "x"+tokenSecret, claims(nil)), reasons.RequestTokenInvalid, ""},
		{"/news", "Authorization: Bearer " + sign(t, tokenSecret, claims(jwt.MapClaims{"exp": now - 60})), reasons.RequestTokenExpired, ""},
		{"/news", "Authorization: Bearer " + sign(t, tokenSecret, claims(jwt.MapClaims{"nbf": now + 60})), reasons.RequestTokenEarly, ""},
		{"/news", "Authorization: Bearer " + sign(t, tokenSecret, claims(jwt.MapClaims{"aud": "them"})), reasons.RequestTokenAudience, ""},
		{"/sport", "Authorization: Bearer " + good, reasons.RequestTokenChannel, ""},
		{"/news%2Fx", "Authorization: Bearer " + good, reasons.RequestTokenChannel, ""},
		{"/-/x", "Authorization: Bearer " + good, reasons.RequestReserved, ""},
		// A bad request is bad whatever its token, and costs no verification.
		{"/news", "Authorization: Bearer x\r\nHost: h", reasons.RequestHostInvalid, ""},
		{"/news", "X: " + strings.Repeat("x", RequestBytesDefault) + "\r\nAuthorization: Bearer " + good, reasons.RequestTooLong, ""},
		{"/news", "Authorization: Bearer " + sign(t, tokenSecret, claims(jwt.MapClaims{"x": strings.Repeat("x", 6500)})), reasons.RequestTooLong, ""},
		{"/news", "Authorization: Bearer " + sign(t, tokenSecret, claims(jwt.MapClaims{"x": strings.Repeat("x", 4500)})), reasons.None, ""},
	} {
		client := s.connect(t)
		client.send(tokenRequest(c.path, c.line))
		response := client.response()
		if c.reason == reasons.None {
			if response.StatusCode != 101 || response.Header.Get("Sec-WebSocket-Protocol") != c.protocol {
				t.Errorf("%s %.80s: %s with %v", c.path, c.line, response.Status, response.Header)
			}
			for _, values := range response.Header {
				if slices.Contains(values, good) {
					t.Errorf("the token was answered: %v", response.Header)
				}
			}
			client.Close()
			continue
		}
		want[c.reason]++
		challenge := response.Header.Get("WWW-Authenticate")
		if status, _, _ := c.reason.Told(); response.StatusCode != status || (response.StatusCode == 401) && !strings.HasPrefix(challenge, "Bearer realm=") {
			t.Errorf("%s %.80s: %s, %q; want %v", c.path, c.line, response.Status, challenge, c.reason)
		}
		client.Close()
	}
	s.checkNothingLeft(t)
	for reason, n := range want {
		if got := s.closes(reason); got != uint64(n) {
			t.Errorf("%v: counted %d, want %d", reason, got, n)
		}
	}
}

// Whether a client may publish is known by its record, so that its messages ask
// nobody.
func TestPublishIsAMark(t *testing.T) {
	config, _ := tokenConfig(t)
	s := startServer(t, 1, config)
	for i, publish := range []any{[]string{}, "new*", []string{"other", "news"}, "other"} {
		c := s.connect(t)
		c.send(tokenRequest("/news", "Authorization: Bearer "+sign(t, tokenSecret, jwt.MapClaims{"aud": "us", "subscribe": "*", "publish": publish})))
		c.expectUpgrade()
		marks := uint8(0)
		s.onLoops(func(l *poller.Loop, _ *Server) { l.Walk(0, 1, func(fd uint32) { marks = l.Record(fd).Marks }) })
		if may := marks&markPublish != 0; may != (i == 1 || i == 2) {
			t.Errorf("publish %v: %v", publish, may)
		}
		c.Close()
		waitFor(t, "it is gone", func() bool { return s.shared.Open() == 0 })
	}
}

// Without keys, c10m.token is answered all the same, and nobody is asked.
func TestTokensWithoutKeys(t *testing.T) {
	s := startServer(t, 1, testConfig())
	c := s.connect(t)
	c.send(tokenRequest("/news", "Sec-WebSocket-Protocol: c10m.token, rubbish"))
	if r := c.response(); r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Protocol") != "c10m.token" {
		t.Errorf("%s %v", r.Status, r.Header)
	}
}

// A connection ends when its token does: not before, not much later, and no
// other connection with it.
func TestTokensEndConnections(t *testing.T) {
	kernel := &testKernel{}
	config, w := tokenConfig(t)
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Linux.Now())
	now := w.unix.Load()
	open := func(exp any) *rawClient {
		claims := jwt.MapClaims{"aud": "us", "subscribe": "*"}
		if exp != nil {
			claims["exp"] = exp
		}
		c := s.connect(t)
		c.send(tokenRequest("/news", "Authorization: Bearer "+sign(t, tokenSecret, claims)))
		c.expectUpgrade()
		return c
	}
	gone := open(now + 10)
	gone.Close()
	waitFor(t, "it is gone", func() bool { return s.shared.Open() == 0 })
	heir := open(nil) // gets the number of the one before
	var short []*rawClient
	for range 20 {
		short = append(short, open(now+10))
	}
	month, era := open(now+40*24*3600), open(int64(1)<<61)
	open(now - 4).Close() // over, but for the leeway

	s.step(kernel, 14*time.Second)
	if n := s.closes(reasons.TokenExpired); n != 0 {
		t.Fatalf("%d connections were closed too early", n)
	}
	s.step(kernel, 2*time.Second)
	for _, c := range short {
		f, err := c.frame()
		if err != nil || f.opcode != ws.OpClose || f.code != 1008 {
			t.Fatalf("%v %v", f, err)
		}
		c.Close()
	}
	if n := s.closes(reasons.TokenExpired); n != uint64(len(short)) {
		t.Errorf("%d of %d connections were closed", n, len(short))
	}
	// 2^31 ms are 24.8 days.
	for day := 0; day < 39; day++ {
		s.step(kernel, 24*time.Hour)
	}
	if n := s.publish(t, "news", "still here"); n != 3 {
		t.Errorf("%d connections are left of 3", n)
	}
	s.step(kernel, 24*time.Hour)
	for _, c := range []*rawClient{heir, month, era} {
		c.expect(wireFrame{opcode: ws.OpText, payload: "still here"})
	}
	month.expect(wireFrame{opcode: ws.OpClose, code: 1008})
	closeAll([]*rawClient{heir, month, era})
	s.checkNothingLeft(t)
}

// A client in the middle of a frame gets the rest of it, and then the close.
func TestATokenEndsInTheMiddleOfAFrame(t *testing.T) {
	kernel := &testKernel{}
	config, w := tokenConfig(t)
	config.Channel.LogBytes = 64 << 20 // nobody is too slow
	s := startServer(t, 1, config, kernel.install)
	kernel.clock.Store(kernel.Linux.Now())
	c := s.connect(t)
	c.send(tokenRequest("/news", "Authorization: Bearer "+sign(t, tokenSecret, jwt.MapClaims{"aud": "us", "subscribe": "*", "exp": w.unix.Load() + 10})))
	c.expectUpgrade()
	payload := strings.Repeat("x", 1<<19)
	s.publish(t, "news", payload)
	for range 40 {
		s.publish(t, "news", payload)
	}
	s.step(kernel, 20*time.Second)
	messages := 0
	for {
		f, err := c.frame()
		if err != nil {
			t.Fatal(err)
		}
		if f.opcode == ws.OpClose {
			if f.code != 1008 || messages == 0 {
				t.Errorf("%v after %d messages", f, messages)
			}
			return
		}
		if f.payload != payload {
			t.Fatalf("message %d is broken", messages)
		}
		messages++
	}
}

// tickingKernel is a kernel on which every look at the clock takes a while: so
// each token costs more than a turn may spend (0.5 ms).
type tickingKernel struct{ *epolltest.Kernel }

func (k tickingKernel) Now() int64 {
	k.Advance(time.Millisecond)
	return k.Kernel.Now()
}

// Under a storm of tokens a turn verifies as many as it may and no more, whether
// they come with the accept or later; messages leave in the same turn, and all
// newcomers get their answer in the end.
func TestAStormOfTokensIsBoundedPerTurn(t *testing.T) {
	kernel := tickingKernel{epolltest.New(1)}
	config, _ := tokenConfig(t)
	var server *Server
	loop, err := newKernelLoop(kernel.Kernel, kernel, 3, func(l *poller.Loop) poller.Handler {
		server = NewServer(NewShared(config), l)
		return server
	})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Shut()
	hub := channel.NewHub([]channel.Poster{server}, HubConfig(wire.FrameAuto, 1<<20, kernel.Kernel.Now))
	good := tokenRequest("/news", "Authorization: Bearer "+sign(t, tokenSecret, jwt.MapClaims{"aud": "us", "subscribe": "*"}))
	bad := bytes.Replace(good, []byte("Bearer e"), []byte("Bearer f"), 1)
	member := kernel.Dial()
	member.Write(good)
	for range 4 {
		loop.Turn()
	}
	member.Read(-1)
	const storm = 200
	var peers []*pollertest.Peer
	for i := range storm {
		peer := kernel.Dial()
		if i%2 == 0 {
			peer.Write(bad)
		}
		peers = append(peers, peer)
	}
	judged := func() uint64 {
		return server.stats.Closes[reasons.RequestTokenInvalid].Load() + server.stats.Handshakes.Load()
	}
	for turn := 0; judged() < storm; turn++ {
		if turn > 4*storm {
			t.Fatalf("%d of %d tokens were judged in %d turns", judged(), storm, turn)
		}
		if turn == 20 {
			for i := 1; i < storm; i += 2 {
				peers[i].Write(bad)
			}
		}
		if _, err := hub.Publish([]byte("news"), []byte("x")); err != nil {
			t.Fatal(err)
		}
		before := judged()
		loop.Turn()
		if n := judged() - before; n > 1 {
			t.Fatalf("turn %d judged %d tokens", turn, n)
		}
		if got := len(member.Read(-1)); got != 3 {
			t.Fatalf("turn %d: the member got %d bytes of a frame of 3", turn, got)
		}
	}
	for i, peer := range peers {
		loop.Turn()
		if answer := peer.Read(-1); !bytes.HasPrefix(answer, []byte("HTTP/1.1 401 ")) {
			t.Fatalf("newcomer %d got %q", i, answer)
		}
	}
	if n := server.stats.TokenPauses.Load(); n < storm {
		t.Errorf("%d pauses were counted", n)
	}
}
