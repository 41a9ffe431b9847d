package redisbus

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/tidwall/redcon"
)

// A framer cuts a peer's bytes into commands. One goroutine owns it.
//
// redcon splits an array into its arguments, and is only shown bytes that are
// exactly one whole command within the limits (lines are splitInline's). On its own it would index out of
// range at a bulk length of -2 or of 1<<63-1, buffer without bound, and walk a
// large command again from its start at each read. So the framer walks the
// headers itself, once, and remembers where it stopped.
type framer struct {
	buf  []byte
	r, w int // buf[r:w] is read and not yet consumed

	// How far the command at r has been walked.
	pos   int // the next byte to look at, from r
	array bool
	args  int // still to come, of an array

	argv [][]byte // reused
}

// A protocolError is what the peer is told, behind "-ERR ", before the close.
type protocolError string

func (e protocolError) Error() string { return "Protocol error: " + string(e) }

const (
	errArrayLength   = protocolError("invalid multibulk length")
	errArrayUnauth   = protocolError("unauthenticated multibulk length")
	errBulkLength    = protocolError("invalid bulk length")
	errBulkUnauth    = protocolError("unauthenticated bulk length")
	errBulkEnd       = protocolError("expected CRLF behind a bulk string")
	errHeaderLine    = protocolError("too big count string")
	errHeaderEnd     = protocolError("expected CRLF behind a count")
	errInlineNUL     = protocolError("a NUL in an inline request")
	errInlineTooBig  = protocolError("too big inline request")
	errInlineQuotes  = protocolError("unbalanced quotes in request")
	errCommandTooBig = protocolError("too big command")
	// redcon would take it for a command in Tile38's own protocol.
	errInlineDollar = protocolError("expected '*', got '$'")
	// The walk and redcon disagree about what a command is; FuzzRESP looks for it.
	errDisagree = protocolError("invalid request")
)

// errMore means that the next command is not complete yet.
var errMore = errors.New("redisbus: incomplete command")

// fill reads once into room.
func (f *framer) fill(src io.Reader) error {
	n, err := src.Read(f.room())
	f.w += n
	if n > 0 {
		return nil // an error will come again
	}
	return err
}

// room makes room behind what is there and returns it. Arguments of earlier commands are
// invalid from here on.
func (f *framer) room() []byte {
	if f.r == f.w {
		f.r, f.w = 0, 0
		if cap(f.buf) > keptBufferBytesMax {
			f.buf = nil // one large command must not pin its memory for ever
		}
	}
	if f.w == len(f.buf) {
		if f.r > len(f.buf)/2 {
			f.w = copy(f.buf, f.buf[f.r:f.w])
		} else {
			// Grown by what has come, never by what a header promises.
			grown := make([]byte, max(readBufferBytes, 2*len(f.buf)))
			f.w = copy(grown, f.buf[f.r:f.w])
			f.buf = grown
		}
		f.r = 0
	}
	return f.buf[f.w:]
}

// next returns the arguments of the next command, which alias the buffer until
// the next fill. They may be empty, as for a bare CRLF. The error is errMore or
// a protocolError; after the latter the framer is of no further use.
func (f *framer) next(authed bool) ([][]byte, error) {
	n, err := f.walk(authed)
	if err != nil {
		return nil, err
	}
	frame := f.buf[f.r : f.r+n]
	f.r += n
	inline, empty := !f.array, f.array && f.args < 0
	f.pos, f.array, f.args = 0, false, 0
	if empty {
		return nil, nil
	}
	argv, err := f.split(frame, inline)
	if err != nil {
		return nil, err
	}
	f.argv = argv
	if cap(f.argv)*24 > keptBufferBytesMax {
		f.argv = nil
	}
	if !authed && len(argv) > unauthArgsMax {
		return nil, errArrayUnauth
	}
	return argv, nil
}

// split takes a whole command apart.
func (f *framer) split(frame []byte, inline bool) (argv [][]byte, err error) {
	if inline {
		argv, ok := splitInline(frame, f.argv)
		if !ok {
			return nil, errInlineQuotes
		}
		return argv, nil
	}
	complete, argv, _, rest, err := redcon.ReadNextCommand(frame, f.argv)
	if err != nil || !complete || len(rest) != 0 {
		return nil, errDisagree
	}
	return argv, nil
}

// walk returns the length of the command at r, or errMore.
func (f *framer) walk(authed bool) (int, error) {
	if f.r == f.w {
		return 0, errMore
	}
	if !f.array {
		if c := f.buf[f.r]; c != '*' {
			return f.walkInline(c, authed)
		}
		count, err := f.header(errArrayLength)
		if err != nil {
			return 0, err
		}
		if count > commandArgsMax {
			return 0, errArrayLength
		}
		if !authed && count > unauthArgsMax {
			return 0, errArrayUnauth
		}
		f.array, f.args = true, count
		if count <= 0 {
			f.args = -1 // Redis passes over an empty command without a reply
			return f.pos, nil
		}
	}
	for f.args > 0 {
		if err := f.walkBulk(authed); err != nil {
			return 0, err
		}
		f.args--
	}
	return f.pos, nil
}

func (f *framer) walkInline(first byte, authed bool) (int, error) {
	if first == '$' {
		return 0, errInlineDollar
	}
	lineMax := inlineBytesMax
	if !authed {
		lineMax = unauthArgBytesMax
	}
	line, from := f.buf[f.r:f.w], f.pos
	end := bytes.IndexByte(line[f.pos:], '\n')
	if end < 0 {
		f.pos = len(line)
	} else {
		f.pos += end + 1
	}
	// Redis reads lines as strings of C, so that none with a NUL is ever a command: it
	// is a TLS hello, or another protocol, and what follows in it may be anybody's.
	if bytes.IndexByte(line[from:f.pos], 0) >= 0 {
		return 0, errInlineNUL
	}
	if f.pos > lineMax {
		return 0, errInlineTooBig
	}
	if end < 0 {
		return 0, errMore
	}
	return f.pos, nil
}

// walkBulk steps over one bulk string, header and all, or not at all.
func (f *framer) walkBulk(authed bool) error {
	start := f.pos
	if f.r+start < f.w && f.buf[f.r+start] != '$' {
		return protocolError("expected '$', got '" + string(rune(f.buf[f.r+start])) + "'")
	}
	n, err := f.header(errBulkLength)
	if err != nil {
		return err
	}
	if n < 0 {
		return errBulkLength
	}
	if !authed && n > unauthArgBytesMax {
		return errBulkUnauth
	}
	if n > commandBytesMax || f.pos+n+2 > commandBytesMax {
		return errCommandTooBig
	}
	if f.w-f.r-f.pos < n+2 {
		f.pos = start
		return errMore
	}
	f.pos += n + 2
	if f.buf[f.r+f.pos-2] != '\r' || f.buf[f.r+f.pos-1] != '\n' {
		return errBulkEnd
	}
	return nil
}

// header reads "*n\r\n" or "$n\r\n" at pos and steps behind it. On an error,
// errMore among them, pos has not moved.
func (f *framer) header(bad protocolError) (int, error) {
	line := f.buf[f.r+f.pos : f.w]
	line = line[:min(len(line), headerBytesMax)]
	end := bytes.IndexByte(line, '\n')
	if end < 0 {
		if len(line) == headerBytesMax {
			return 0, errHeaderLine
		}
		return 0, errMore
	}
	if end < 2 || line[end-1] != '\r' {
		return 0, errHeaderEnd
	}
	n, err := strconv.Atoi(string(line[1 : end-1]))
	if err != nil || line[1] == '+' || max(n, -n) > 10*commandBytesMax {
		return 0, bad
	}
	f.pos += end + 1
	return n, nil
}
