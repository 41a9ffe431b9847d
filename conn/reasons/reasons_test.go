package reasons

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"c10m/conn/wire"
)

func TestEveryReasonIsWhole(t *testing.T) {
	all := All()
	if len(all) != int(Count)-1 || slices.Contains(all, None) {
		t.Errorf("All has %d of %d", len(all), Count-1)
	}
	silent := []Reason{RequestGone, RequestIdle, RequestsDone, RequestProxyCheck, ClientClosed, ClientGone, ClientReset, WriteDeadline, SlowBytes, SlowAge, SlowTotal, SocketError, Stopped, EpollFull}
	names := make(map[string]Reason)
	for _, r := range all {
		info := table[r]
		if other, taken := names[r.String()]; taken {
			t.Errorf("reasons %d and %d are both %q", r, other, r)
		}
		names[r.String()] = r
		if r.String() != strings.ToLower(r.String()) || strings.ContainsAny(r.String(), " -") {
			t.Errorf("%q is no name for a metric's label", r)
		}
		isRequest := r <= RequestGone
		switch isSilent := slices.Contains(silent, r); {
		case isSilent != (info.status == 0 && info.code == 0):
			t.Errorf("%v: status %d, code %d", r, info.status, info.code)
		case info.status != 0 && (info.code != 0 || !isRequest), info.code != 0 && isRequest:
			t.Errorf("%v is of one phase and speaks for the other: status %d, code %d", r, info.status, info.code)
		case isSilent != (info.text == ""):
			t.Errorf("%v: text %q", r, info.text)
		case info.status != 0:
			checkRefusal(t, r.Refusal(), r)
		case info.code != 0 && (!wire.ValidCloseCode(info.code) || len(info.text) > 123):
			t.Errorf("%v: close code %d, %d bytes of text", r, info.code, len(info.text))
		}
	}
}

// checkRefusal checks that response is one whole HTTP response and nothing more.
func checkRefusal(t *testing.T, response []byte, reason Reason) {
	t.Helper()
	reader := bufio.NewReader(bytes.NewReader(response))
	r, err := http.ReadResponse(reader, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatalf("%v: no response: %v in %q", reason, err, response)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || reader.Buffered() != 0 || int64(len(body)) != r.ContentLength || len(body) < 10 {
		t.Errorf("%v: body %q, %v, %d bytes more", reason, body, err, reader.Buffered())
	}
	if status, _, _ := reason.Told(); r.StatusCode != status || r.StatusCode < 400 || !r.Close {
		t.Errorf("%v: %s, close %v", reason, r.Status, r.Close)
	}
	if !strings.HasPrefix(r.Status, fmt.Sprint(r.StatusCode, " ")) || len(r.Status) < 6 {
		t.Errorf("%v: status %q has no text", reason, r.Status)
	}
}

// Those who are refused in one second are not told to come back in one second.
func TestRetryAfterIsSpread(t *testing.T) {
	for _, reason := range []Reason{RequestFull, RequestNoMemory, RequestMemory} {
		least := reason.Retry()
		seen := make(map[int]int)
		for range 4000 {
			_, after, _ := bytes.Cut(reason.Refusal(), []byte("Retry-After: "))
			var seconds int
			if _, err := fmt.Sscan(string(after), &seconds); err != nil || seconds < least || seconds > 2*least {
				t.Fatalf("%v: %d seconds (%v)", reason, seconds, err)
			}
			seen[seconds]++
		}
		for seconds, n := range seen {
			if share := 4000 / (least + 1); len(seen) != least+1 || n < share/2 || n > 2*share {
				t.Errorf("%v: %d of 4000 come back after %d s", reason, n, seconds)
			}
		}
	}
}

// The ring keeps the last ones, the last first.
func TestRecentRing(t *testing.T) {
	var ring Recent
	if ring.List(0) == nil || len(ring.List(0)) != 0 {
		t.Error("an empty ring lists something")
	}
	for i := range 3*recentMax/2 + 1 {
		ring.Add(int64(i), ClientClosed, fmt.Appendf(nil, "channel %d", i))
	}
	list := ring.List(3 * recentMax / 2)
	if len(list) != recentMax {
		t.Fatalf("%d are listed", len(list))
	}
	for i, c := range list {
		if want := fmt.Sprintf("channel %d", 3*recentMax/2-i); c.Channel != want || c.NanosAgo != int64(i) || c.Reason != ClientClosed || c.IsCut {
			t.Errorf("number %d is %+v, want %s", i, c, want)
		}
	}
}

// What finds the ring full is dropped and counted, and nothing that was kept changes.
func TestRefusalsThatComeTooFastAreCounted(t *testing.T) {
	var all Refusals
	var exported atomic.Uint64
	ring := all.NewRing(&exported)
	const more = 5
	peer := netip.MustParseAddrPort("192.0.2.1:9")
	for i := range refusalsKept + more {
		ring.Note(RequestChannel, peer, fmt.Appendf(nil, "GET /%%zz%d?token=s3cret HTTP/1.1\r\nHost: x\r\n\r\n", i))
	}
	shown := 0
	all.Take(func(r *Refusal) {
		if r.Line() != fmt.Sprintf("GET /%%zz%d", shown) || r.Reason != RequestChannel || r.Peer != peer {
			t.Errorf("%q, %v, %v", r.Line(), r.Reason, r.Peer)
		}
		shown++
	})
	if dropped := all.Dropped(); shown != refusalsKept || dropped != more || exported.Load() != more {
		t.Errorf("%d were shown and %d dropped, %d in the metrics", shown, dropped, exported.Load())
	}
	all.Take(func(*Refusal) { t.Error("shown twice") })
}
