package feed

import (
	"strings"
	"testing"
)

func TestChannelOf(t *testing.T) {
	for target, wanted := range map[string]string{"/news": "news", "/a%20b%2Fc?x=1": "a b/c", "/a/b": "a/b", "/": "", "/%zz": ""} {
		if channel, err := ChannelOf(target); channel != wanted || (err == nil) != (wanted != "") {
			t.Errorf("%s: %q, %v", target, channel, err)
		}
	}
}

func TestNoRedis(t *testing.T) {
	if _, err := Subscribe(t.Context(), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "--redis") {
		t.Errorf("%v", err)
	}
}
