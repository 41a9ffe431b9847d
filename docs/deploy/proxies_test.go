package deploy

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"c10m/internal/patience"
	"c10m/internal/servertest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// What README.md says of a proxy's memory is what these tests print with
// -v -proxy-connections 2000.
var proxyConnections = flag.Int("proxy-connections", 100, "connections that are held through each proxy")

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t *testing.T, dir string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "c10m test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for file, text := range map[string][]byte{certFile: certPEM, keyFile: keyPEM, filepath.Join(dir, "tls.pem"): append(certPEM, keyPEM...)} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, roots
}

// A front is a proxy in front of a server.
type front struct {
	server *servertest.Server
	proxy  *servertest.Process
	port   int
	roots  *x509.CertPool
}

// startFront starts a server with four ports as the configuration's first comment
// says, with a limit per address, and the proxy that command makes of the
// configuration with its ports and files replaced.
func startFront(t *testing.T, flags []string, configure func(t *testing.T, f *front, dir string, backends map[string]string) []string) *front {
	t.Helper()
	dir := t.TempDir()
	f := &front{port: servertest.FreePort(t)}
	backends := make(map[string]string)
	var listen []string
	for i := range 4 {
		address := fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t))
		listen = append(listen, "--listen", address)
		backends[fmt.Sprintf("127.0.0.1:%d", 10000+i)] = address
	}
	f.server = servertest.StartServer(t, 0, append(append(listen, flags...), "--address-connections", strconv.Itoa(max(2, *proxyConnections)))...)
	command := configure(t, f, dir, backends)
	f.proxy = servertest.Start(t, command[0], command[1:]...)
	t.Cleanup(func() {
		f.proxy.Signal(syscall.SIGTERM)
		f.proxy.Wait()
	})
	servertest.Eventually(t, "the proxy listens", func() bool {
		if f.proxy.Ended() {
			t.Fatalf("the proxy ended:\n%s", f.proxy.Output.String())
		}
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return f
}

// dial connects through the proxy from an address of the loopback network and
// returns the status of the answer with the connection.
func (f *front) dial(t *testing.T, from, path string) (int, *wssClient) {
	t.Helper()
	status := 101
	dialer := ws.Dialer{
		Timeout:       time.Minute,
		NetDial:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
		TLSConfig:     &tls.Config{RootCAs: f.roots},
		Header:        ws.HandshakeHeaderString("X-Forwarded-For: 192.0.2.99\r\n"), // a lie
		OnStatusError: func(code int, _ []byte, _ io.Reader) { status = code },
	}
	c, early, _, err := dialer.Dial(t.Context(), fmt.Sprintf("wss://127.0.0.1:%d/%s", f.port, path))
	if err != nil {
		if status == 101 {
			t.Fatalf("dial: %v\n%s", err, f.proxy.Output.String())
		}
		return status, nil
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(patience.Deadline())
	if early == nil {
		early = bufio.NewReaderSize(c, 512)
	}
	return status, &wssClient{Conn: c, reader: early}
}

type wssClient struct {
	net.Conn
	reader *bufio.Reader
}

func (c *wssClient) Read(p []byte) (int, error) { return c.reader.Read(p) }

// closeCode reads pings until the close frame and returns its code.
func (c *wssClient) closeCode() (code uint16, err error) {
	for {
		header, err := ws.ReadHeader(c)
		if err != nil {
			return 0, err
		}
		payload := make([]byte, min(header.Length, 125))
		if _, err := io.ReadFull(c, payload); err != nil {
			return 0, err
		}
		switch {
		case header.OpCode == ws.OpClose && len(payload) >= 2:
			return binary.BigEndian.Uint16(payload), nil
		case header.OpCode != ws.OpPing:
			return 0, fmt.Errorf("a frame that nobody expects: %+v", header)
		}
	}
}

// check is what has to hold behind either proxy.
func (f *front) check(t *testing.T) {
	t.Helper()
	limit := max(2, *proxyConnections)
	resident := residentBytes(t, f.proxy.PID())
	var clients []*wssClient
	for i := range limit {
		status, c := f.dial(t, "127.0.0.2", "news%2Fde")
		if status != 101 {
			t.Fatalf("connection %d: %d", i, status)
		}
		clients = append(clients, c)
	}
	if *proxyConnections >= 1000 {
		t.Logf("%d idle TLS connections take %d bytes of the proxy's resident memory each",
			limit, (residentBytes(t, f.proxy.PID())-resident)/limit)
	}

	// The server counts the client's address and not the proxy's, nor the one
	// that the client made up.
	if status, _ := f.dial(t, "127.0.0.2", "news%2Fde"); status != 429 {
		t.Errorf("one more from the same address: %d", status)
	}
	status, other := f.dial(t, "127.0.0.3", "news%2Fde")
	if status != 101 {
		t.Fatalf("from another address: %d", status)
	}
	clients = append(clients, other)

	// Nothing is lost on the way, and nothing changed.
	const messages = 20
	for i := range messages {
		text := fmt.Sprintf("%d %s", i, strings.Repeat("ü", i*300))
		if got := servertest.RedisCLI(t, f.server.Bus, "PUBLISH", "news/de", text); got != strconv.Itoa(len(clients)) {
			t.Fatalf("PUBLISH printed %q", got)
		}
	}
	for n, c := range clients {
		for i := range messages {
			got, _, err := wsutil.ReadServerData(c)
			if want := fmt.Sprintf("%d %s", i, strings.Repeat("ü", i*300)); err != nil || string(got) != want {
				t.Fatalf("client %d, message %d: %.20q, %v", n, i, got, err)
			}
		}
	}

	// A close frame arrives with its code when the server drains.
	f.server.Signal(syscall.SIGTERM)
	for n, c := range clients {
		if code, err := c.closeCode(); code != 1012 {
			t.Fatalf("client %d is closed with %d, %v", n, code, err)
		}
		c.Close()
	}
	if status := f.server.Wait(); status != 0 {
		t.Errorf("the server exits with %d", status)
	}
}

// residentBytes is VmRSS of /proc/PID/status.
func residentBytes(t *testing.T, pid int) int {
	t.Helper()
	match := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindStringSubmatch(read(t, fmt.Sprintf("/proc/%d/status", pid)))
	if match == nil {
		t.Fatal("no VmRSS")
	}
	kilobytes, _ := strconv.Atoi(match[1])
	return kilobytes << 10
}

func pairs(m map[string]string) (all []string) {
	for from, to := range m {
		all = append(all, from, to)
	}
	return all
}

func TestHAProxy(t *testing.T) {
	f := startFront(t, []string{"--trusted", "127.0.0.1", "--proxy-protocol"}, func(t *testing.T, f *front, dir string, backends map[string]string) []string {
		_, _, f.roots = certificate(t, dir)
		config := rewrite(t, read(t, "haproxy.cfg"), append(pairs(backends),
			"bind :443", fmt.Sprintf("bind 127.0.0.1:%d", f.port),
			"port 9100", fmt.Sprintf("port %d", f.server.Admin),
			"/etc/haproxy/10m-server.pem", filepath.Join(dir, "tls.pem"),
			"maxconn 100000", "maxconn 4000")...)
		file := filepath.Join(dir, "haproxy.cfg")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{look(t, "haproxy"), "-db", "-f", file}
	})
	f.check(t)
	if out := f.proxy.Output.String(); !strings.Contains(out, "DOWN") {
		// It looks every 2 s, and the server drained for 1 s and is gone.
		servertest.Eventually(t, "the health check notices", func() bool { return strings.Contains(f.proxy.Output.String(), "DOWN") })
	}
}

func TestNginx(t *testing.T) {
	f := startFront(t, []string{"--trusted", "127.0.0.1", "--forwarded-for"}, func(t *testing.T, f *front, dir string, backends map[string]string) []string {
		var certFile, keyFile string
		certFile, keyFile, f.roots = certificate(t, dir)
		// Paths that the package made for root only.
		paths := "http {\n"
		for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			paths += fmt.Sprintf("\t%s_temp_path %s;\n", what, filepath.Join(dir, what))
		}
		config := rewrite(t, read(t, "nginx.conf"), append(pairs(backends),
			"listen 443 ssl", fmt.Sprintf("listen 127.0.0.1:%d ssl", f.port),
			"/etc/nginx/10m-server.crt", certFile, "/etc/nginx/10m-server.key", keyFile,
			"worker_rlimit_nofile 200100;", "", "worker_connections 200000", "worker_connections 8000",
			"user www-data;", "", "http {\n", paths)...)
		file := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		// One process in the foreground, so that none is left if the test dies.
		return []string{look(t, "nginx"), "-p", dir, "-c", file, "-e", "stderr", "-g",
			fmt.Sprintf("daemon off; master_process off; pid %s;", filepath.Join(dir, "nginx.pid"))}
	})
	f.check(t)
}
