package reasons

import (
	"fmt"

	"c10m/access"
)

// The close codes of our own: 4000 to 4999 are for private use, and what a client does
// after them is the application's business (RFC 6455, 7.4.2).
const (
	// CodeMissedMessages says: messages may have been published to your channel while you
	// were connected, and did not reach you. No code of IANA's registry says that: 1012
	// (service restart) and 1013 (try again later) are about the connection, and a client
	// that comes back after them has no reason to doubt what it got before.
	CodeMissedMessages = 4001
	// CodeDisconnected is for those whom the operator disconnects: a client that sees it
	// should not come back by itself, and every code of IANA's registry that says so says
	// more. 1008 means here that a token has ended, and to come back with another.
	CodeDisconnected = 4002
)

// A Reason says why a connection ended. Every connection ends with exactly
// one, and each has a counter.
type Reason uint8

// The reasons, in the order of the table below.
const (
	None Reason = iota

	// While a request was being read.
	RequestTimeout
	RequestTooLong
	RequestTargetTooLong
	RequestMalformed
	RequestMethod
	RequestUnknownMethod
	RequestVersion
	RequestHost
	RequestHostInvalid
	RequestNoUpgrade
	RequestKey
	RequestWSVersion
	RequestChannel
	RequestReserved
	RequestFull
	RequestDraining
	RequestMemory
	RequestTokenMissing
	RequestTokenPlaces
	RequestTokenInvalid
	RequestTokenExpired
	RequestTokenEarly
	RequestTokenAudience
	RequestTokenChannel
	RequestNoMemory
	RequestOrigin
	RequestProxyHeader
	RequestForwardedFor
	RequestAddressConnections
	RequestAddressRate
	RequestProxyCheck
	RequestPublish
	RequestTokenPublish
	RequestLength
	RequestWait
	RequestTooBig
	RequestEncoding
	RequestIdempotencyKey
	RequestDisconnected
	RequestIdle
	RequestsDone
	RequestGone
	EpollFull // fs.epoll.max_user_watches or memory: the loop could not watch it

	// While open.
	ClientClosed
	ClientGone
	ClientReset
	WriteDeadline
	ProtocolError
	InvalidUTF8
	MessageTooBig
	DataRefused
	PublishFailed
	PublishFull
	SlowBytes
	SlowAge
	SlowTotal
	StateMemory
	SocketError
	TokenExpired
	PositionGone

	// By the operator.
	MissedMessages
	Disconnected
	Draining
	Stopped

	// Count is how many there are, with None.
	Count
)

// info is what a peer and an operator are told.
type info struct {
	name string // in metrics
	// status is the HTTP answer of a refused request; headers are its own.
	status  int
	headers string
	retry   int // seconds of Retry-After (RFC 9110, 10.2.3), at the least; see refusals
	// code is the close code (RFC 6455, 7.4; IANA's registry for 1012 and
	// 1013) of an open connection, 0 if nothing can be or is to be sent.
	code uint16
	text string // one sentence for the peer
	err  error  // of a token that is refused for it
}

var table = [Count]info{
	None: {name: "none"},

	RequestTimeout:       {name: "request_timeout", status: 408, text: "The request took too long."},
	RequestTooLong:       {name: "request_too_long", status: 431, text: "The lines of the request have more bytes than this server takes."},
	RequestTargetTooLong: {name: "request_target_too_long", status: 414, text: "The first line of the request has more bytes than this server takes."},
	RequestMalformed:     {name: "request_malformed", status: 400, text: "This is not a well-formed HTTP request."},
	RequestMethod:        {name: "request_method", status: 405, headers: "Allow: GET, HEAD, POST, OPTIONS\r\n", text: "Only GET, HEAD, POST and OPTIONS are understood."},
	RequestUnknownMethod: {name: "request_unknown_method", status: 501, text: "Only GET, HEAD, POST and OPTIONS are understood."},
	RequestVersion:       {name: "request_http_version", status: 505, text: "Only HTTP/1.1 and HTTP/1.0 are understood."},
	RequestHost:          {name: "request_host", status: 400, text: "The Host header is missing."},
	RequestHostInvalid:   {name: "request_host_invalid", status: 400, text: "The Host header is there twice, or it is not a host and a port."},
	RequestNoUpgrade:     {name: "request_no_upgrade", status: 426, headers: "Upgrade: websocket\r\n", text: invitation},
	RequestKey:           {name: "request_key", status: 400, text: "Sec-WebSocket-Key is missing or is not 16 bytes in base64."},
	RequestWSVersion:     {name: "request_websocket_version", status: 426, headers: "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", text: "Only WebSocket version 13 is understood."},
	RequestChannel:       {name: "request_channel", status: 400, text: "The path must name a channel: 1 to 255 bytes of UTF-8, percent-encoded."},
	RequestReserved:      {name: "request_reserved", status: 404, text: "Paths that begin with /-/ belong to the server, and there is nothing here."},
	RequestFull:          {name: "request_full", status: 503, retry: 10, text: "The server holds as many connections as it may."},
	RequestDraining:      {name: "request_draining", status: 503, retry: 1, text: "The server restarts."},
	RequestMemory:        {name: "request_memory", status: 503, retry: 1, text: "Too many requests are unfinished."},
	RequestNoMemory:      {name: "request_memory_limit", status: 503, retry: 10, text: "The server is short of memory."},
	// RFC 6750, 3: the challenge, and its error codes (3.1), of which the first
	// is for those who showed a token.
	RequestTokenMissing:  {name: "request_token_missing", status: 401, headers: "WWW-Authenticate: Bearer realm=\"c10m\"\r\n", text: "A token is needed: Authorization: Bearer TOKEN, or the subprotocols c10m.token and TOKEN.", err: access.ErrTokenMissing},
	RequestTokenPlaces:   {name: "request_token_places", status: 400, headers: challenge("invalid_request"), text: "There is more than one token, or more than one Authorization.", err: access.ErrTokenPlaces},
	RequestTokenInvalid:  {name: "request_token_invalid", status: 401, headers: challenge("invalid_token"), text: "The token is not valid here.", err: access.ErrTokenInvalid},
	RequestTokenExpired:  {name: "request_token_expired", status: 401, headers: challenge("invalid_token"), text: "The token has expired; get a new one.", err: access.ErrTokenExpired},
	RequestTokenEarly:    {name: "request_token_early", status: 401, headers: challenge("invalid_token"), text: "The token is not valid yet.", err: access.ErrTokenEarly},
	RequestTokenAudience: {name: "request_token_audience", status: 401, headers: challenge("invalid_token"), text: "The token is for another audience.", err: access.ErrTokenAudience},
	RequestTokenChannel:  {name: "request_token_channel", status: 403, headers: challenge("insufficient_scope"), text: "The token does not allow this channel.", err: access.ErrTokenChannel},

	RequestOrigin:             {name: "request_origin", status: 403, text: "Pages of this origin may not connect."},
	RequestProxyHeader:        {name: "request_proxy_header", status: 400, text: "A PROXY header must come first, of version 1 or 2 and up to 4096 bytes."},
	RequestForwardedFor:       {name: "request_forwarded_for", status: 400, text: "A proxy must say in X-Forwarded-For for whom it asks."},
	RequestAddressConnections: {name: "request_address_connections", status: 429, retry: 10, text: "This address holds as many connections as it may."},
	RequestAddressRate:        {name: "request_address_rate", status: 429, retry: 1, text: "This address connects too often."},
	RequestProxyCheck:         {name: "request_proxy_check"},

	RequestPublish:        {name: "request_publish", status: 403, text: "Clients may not publish here."},
	RequestTokenPublish:   {name: "request_token_publish", status: 403, headers: challenge("insufficient_scope"), text: "The token does not allow to publish to this channel.", err: access.ErrTokenPublish},
	RequestWait:           {name: "request_wait", status: 400, text: "wait= needs a number of seconds, up to 120."},
	RequestLength:         {name: "request_length", status: 411, text: "A message needs a Content-Length."},
	RequestTooBig:         {name: "request_too_big", status: 413, text: "The message is longer than this server takes."},
	RequestEncoding:       {name: "request_encoding", status: 415, text: "The body is published as it is: leave out Content-Encoding."},
	RequestIdempotencyKey: {name: "request_idempotency_key", status: 400, text: "Idempotency-Key is one key of 1 to 128 printable ASCII characters without blanks."},
	// Of a poll; all others are told by a close code. Other answers of 403 refuse the
	// channel, so this one says that it is none of them.
	RequestDisconnected: {name: "request_disconnected", status: 403, headers: fmt.Sprintf("C10m-Close: %d\r\n", CodeDisconnected), text: "Disconnected by the operator."},

	// After the answer to a request that was no upgrade: the client was silent for
	// too long, or either side had no more to say.
	RequestIdle:  {name: "request_idle"},
	RequestsDone: {name: "requests_done"},

	RequestGone: {name: "request_gone"},
	EpollFull:   {name: "epoll_full"},

	ClientClosed:  {name: "client_closed"},
	ClientGone:    {name: "client_gone"},
	ClientReset:   {name: "client_reset"},
	WriteDeadline: {name: "write_deadline"},
	ProtocolError: {name: "protocol_error", code: 1002, text: "protocol error"},
	InvalidUTF8:   {name: "invalid_utf8", code: 1007, text: "text is not UTF-8"},
	MessageTooBig: {name: "message_too_big", code: 1009, text: "the message is longer than this server takes"},
	DataRefused:   {name: "data_refused", code: 1003, text: "this server only pushes"},
	PublishFailed: {name: "publish_failed", code: 1013, text: "the bus is down, and a message of yours may be lost: try again later"},
	PublishFull:   {name: "publish_full", code: 1013, text: "too many messages of clients are under way: try again later"},
	SlowBytes:     {name: "slow_log_bytes"},
	SlowAge:       {name: "slow_log_age"},
	SlowTotal:     {name: "slow_log_bytes_total"},
	StateMemory:   {name: "state_memory", code: 1013, text: "too many connections are in the middle of a frame"},
	SocketError:   {name: "socket_error"},
	// As RFC 8887, 4.2, has it for credentials that expire. No other reason
	// has this code, so a client knows what to do: get a new token, come back.
	TokenExpired: {name: "token_expired", code: 1008, text: "token expired"},

	PositionGone: {name: "position_gone", code: CodeMissedMessages, text: "the position is gone: you may have missed messages"},

	MissedMessages: {name: "missed_messages", code: CodeMissedMessages, text: "you may have missed messages"},

	Disconnected: {name: "disconnected", code: CodeDisconnected, text: "disconnected by the operator"},

	Draining: {name: "draining", code: 1012, text: "server restarts"},
	Stopped:  {name: "stopped"},
}

func challenge(code string) string {
	return "WWW-Authenticate: Bearer realm=\"c10m\", error=\"" + code + "\"\r\n"
}

func init() {
	for r := range Count {
		if table[r].name == "" {
			panic(fmt.Sprintf("BUG: close reason %d has no name", r))
		}
	}
}

func (r Reason) String() string { return table[r].name }

// All lists all reasons that a connection can end with.
func All() []Reason {
	all := make([]Reason, 0, Count)
	for r := None + 1; r < Count; r++ {
		all = append(all, r)
	}
	return all
}

// Told returns what the client is told: the status of a refused request and the close code
// of an open connection, 0 where there is none, and a sentence.
func (r Reason) Told() (status int, code uint16, text string) {
	i := &table[r]
	return i.status, i.code, i.text
}
