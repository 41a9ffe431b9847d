package admission

import (
	"strings"
	"testing"

	"c10m/channel"
	"c10m/conn/reasons"
	"c10m/conn/wire"
)

func TestAppendChannel(t *testing.T) {
	long := strings.Repeat("x", channel.NameBytesMax)
	for _, c := range []struct {
		target, channel string
		reason          reasons.Reason
	}{
		{"/news", "news", reasons.None},
		{"/sport%2F1", "sport/1", reasons.None},
		{"/sport/1", "sport/1", reasons.None},
		{"//x", "/x", reasons.None},
		{"/a+b", "a+b", reasons.None},
		{"/%C3%A9%e2%82%ac", "é€", reasons.None},
		{"/é", "é", reasons.None},
		{"/news?token=/x", "news", reasons.None},
		{"/news?a?b", "news", reasons.None},
		{"/a%3Fb", "a?b", reasons.None},
		{"/a%23b", "a#b", reasons.None},
		{"/%00", "\x00", reasons.None},
		{"http://host/news", "news", reasons.None},
		{"ws://host:80/news?x", "news", reasons.None},
		{"/redirect/http://x", "redirect/http://x", reasons.None},
		{"/" + long, long, reasons.None},
		{"/" + strings.Repeat("%41", 255), strings.Repeat("A", 255), reasons.None},
		{"/-", "-", reasons.None},
		{"/x/-/", "x/-/", reasons.None},

		{"", "", reasons.RequestChannel},
		{"/", "", reasons.RequestChannel},
		{"/?x", "", reasons.RequestChannel},
		{"*", "", reasons.RequestChannel},
		{"news", "", reasons.RequestChannel},
		{"/news#x", "", reasons.RequestChannel},
		{"/news?a#x", "", reasons.RequestChannel},
		{"http://host/news#", "", reasons.RequestChannel},
		{"host:443", "", reasons.RequestChannel},
		{"http://host", "", reasons.RequestChannel},
		{"http://host?x=/news", "", reasons.RequestChannel},
		{"/%", "", reasons.RequestChannel},
		{"/%4", "", reasons.RequestChannel},
		{"/%4g", "", reasons.RequestChannel},
		{"/%g4", "", reasons.RequestChannel},
		{"/%4?1", "", reasons.RequestChannel},
		{"/\xff", "", reasons.RequestChannel},
		{"/%FF", "", reasons.RequestChannel},
		{"/" + long + "x", "", reasons.RequestChannel},
		{"/-/", "", reasons.RequestReserved},
		{"/-/health", "", reasons.RequestReserved},
		{"/%2D%2F", "", reasons.RequestReserved},
		{"/%2d%2fx?y", "", reasons.RequestReserved},
		{"http://host/-/x", "", reasons.RequestReserved},
	} {
		if c.target == "" {
			continue // no request's target
		}
		var got []byte
		reason := reasons.RequestChannel
		var h wire.Head
		if size, _ := h.Parse([]byte("GET "+c.target+" HTTP/1.1\r\nHost: h\r\n\r\n"), wire.HeadBytesMax); size > 0 {
			got, reason = AppendChannel(nil, h.Path())
		}
		if reason != c.reason || reason == reasons.None && string(got) != c.channel {
			t.Errorf("%.40q: %.40q %v; want %.40q %v", c.target, got, reason, c.channel, c.reason)
		}
	}
}
