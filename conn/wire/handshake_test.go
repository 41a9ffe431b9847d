package wire

import (
	"strings"
	"testing"
)

func TestSwitchIsThatOfTheStandard(t *testing.T) {
	const key = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455, 1.3
	got := string(AppendSwitch(nil, []byte(key), ""))
	if !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n") {
		t.Errorf("the answer is %q", got)
	}
	if got := string(AppendSwitch(nil, []byte(key), "c10m.v1")); !strings.HasSuffix(got, "\r\nSec-WebSocket-Protocol: c10m.v1\r\n\r\n") {
		t.Errorf("the answer with a protocol is %q", got)
	}
}

func TestValidKeys(t *testing.T) {
	for key, want := range map[string]bool{
		"dGhlIHNhbXBsZSBub25jZQ==": true, "AAAAAAAAAAAAAAAAAAAAAA==": true,
		"": false, "dGhlIHNhbXBsZQ==": false, "dGhlIHNhbXBs!SBub25jZQ==": false, "dGhlIHNhbXBsZSBub25jZQQQ": false,
		"dGhlIHNhbXBsZSBub25jZQ=": false, "dGhlIHNhbXBsZSBub25jZQ== ": false,
	} {
		if ValidKey([]byte(key)) != want {
			t.Errorf("%q: not %v", key, want)
		}
	}
}
