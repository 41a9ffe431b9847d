package reasons

import (
	"math/rand/v2"
	"strings"

	"c10m/conn/wire"
)

// refusals are the whole HTTP answers, made once.
var refusals = func() (all [Count][][]byte) {
	for r := range Count {
		if table[r].status != 0 {
			all[r] = r.RefusalsFrom(table[r].retry)
		}
	}
	return all
}()

// RefusalsFrom makes the answers of a refusal. One with a Retry-After is there for each
// second from this one to twice as much, or a minute later: all who are refused in one
// second would come back in one second otherwise.
func (r Reason) RefusalsFrom(seconds int) (all [][]byte) {
	i := &table[r]
	for last := seconds + min(seconds, 60); seconds <= last; seconds++ {
		answer := wire.Refusal{
			Status: i.status, RetrySeconds: seconds, Fields: i.headers, Text: i.text, IsHidden: r == RequestOrigin,
		}
		all = append(all, answer.Append(nil))
	}
	return all
}

// Refusal is an HTTP answer for a reason. It is shared: not to be changed.
func (r Reason) Refusal() []byte { return AnyOf(refusals[r]) }

// AnyOf is one of answers that differ in when to come back.
func AnyOf(answers [][]byte) []byte { return answers[rand.IntN(len(answers))] }

// Retry is how many seconds a refusal asks to wait, at the least.
func (r Reason) Retry() int { return table[r].retry }

var byError = func() map[error]Reason {
	all := map[error]Reason{nil: None}
	for r := range Count {
		if table[r].err != nil {
			all[table[r].err] = r
		}
	}
	return all
}()

// OfToken is why a token is refused with an error of access, None if there is none.
func OfToken(err error) Reason {
	if err == nil {
		return None
	}
	r, isThere := byError[err]
	if !isThere {
		panic("BUG: an error that is no reason: " + err.Error())
	}
	return r
}

// OfFault are the reasons for which a head is refused by itself, and for which a
// stream of frames ends. For FaultRefused who refused has its own.
var OfFault = [...]Reason{
	wire.FaultLine:       RequestMalformed,
	wire.FaultVersion:    RequestVersion,
	wire.FaultTarget:     RequestChannel,
	wire.FaultField:      RequestMalformed,
	wire.FaultHost:       RequestHost,
	wire.FaultHostValue:  RequestHostInvalid,
	wire.FaultLength:     RequestMalformed,
	wire.FaultCoding:     RequestMalformed,
	wire.FaultLong:       RequestTooLong,
	wire.FaultTargetLong: RequestTargetTooLong,
	wire.FaultFrame:      ProtocolError,
	wire.FaultText:       InvalidUTF8,
	wire.FaultMessage:    MessageTooBig,
	wire.FaultRefused:    None,
}

// ways are how to come to a channel.
const ways = `
  WebSocket            websocat ws://HOST/CHANNEL
  many channels        the subprotocol c10m.v1 at ws://HOST/
  server-sent events   curl -N -H 'Accept: text/event-stream' http://HOST/CHANNEL
  long poll            curl -i 'http://HOST/CHANNEL?wait=30'
  publish              curl -d hello http://HOST/CHANNEL   (if the server runs with --publish own)
  publish              redis-cli PUBLISH CHANNEL hello   (at the server's bus)
  connections now      curl http://HOST/-/channels/CHANNEL
  in a web page        <script src="http://HOST/-/c10m.js"></script>
`

// WaysTo is how to come to this channel, with HOST for the host.
func WaysTo(channel string) string { return strings.ReplaceAll(ways, "CHANNEL", channel) }

// invitation answers a plain GET of a channel.
var invitation = `This is a channel of a c10m server, which wants another kind of request.
URL is what you asked for, HOST its host, CHANNEL its path:
` + strings.ReplaceAll(ways, "http://HOST/CHANNEL", "URL") + `
/ says more of this server.`
