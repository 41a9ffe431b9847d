package admin

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"

	"c10m/bus"
	"c10m/channel"
	"c10m/conn/wire"

	"github.com/go-json-experiment/json/jsontext"
)

// parseBatch reads the body of a batch, JSON objects one after the other (JSON
// lines) or in one array:
//
//	{"channel":"news","data":"text"}
//	{"channels":["a","b"],"base64":"AP8=","key":"2f1c"}
//
// Nothing is guessed: an unknown, missing, second or null field is an error, and
// so are invalid UTF-8 and half a surrogate pair, which most parsers replace. An
// error is a refusal.
func (p *publisher) parseBatch(body []byte) ([]*bus.Publication, error) {
	b := batchParser{messageBytesMax: p.messageBytesMax, bytesMax: p.batchBytesMax}
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	inArray := d.PeekKind() == '['
	if inArray {
		_, _ = d.ReadToken() // what was peeked at
	}
	for {
		if inArray && d.PeekKind() == ']' {
			if _, err := d.ReadToken(); err != nil {
				return nil, b.bad(err)
			}
			if _, err := d.ReadToken(); err != io.EOF {
				return nil, refuse(resultBadRequest, http.StatusBadRequest, "something follows the array of messages")
			}
			break
		}
		token, err := d.ReadToken()
		if err == io.EOF && !inArray {
			break
		}
		if err != nil {
			return nil, b.bad(err)
		}
		if token.Kind() != '{' {
			return nil, b.bad(errors.New("it is no object"))
		}
		if err := b.message(d); err != nil {
			return nil, b.bad(err)
		}
	}
	if b.read == 0 {
		return nil, refuse(resultBadRequest, http.StatusBadRequest, `there is no message in the body: it has lines like {"channel":"news","data":"hello"}`)
	}
	return b.messages, nil
}

// A batchParser collects the messages of one body.
type batchParser struct {
	messageBytesMax, bytesMax int

	messages []*bus.Publication
	read     int // objects
	bytes    int // that will be published
}

// bad is the refusal for an object that is not understood, or the one that err is already.
func (b *batchParser) bad(err error) error {
	if no := (*refusal)(nil); errors.As(err, &no) {
		return err
	}
	return refuse(resultBadRequest, http.StatusBadRequest, "message %d: %v", b.read+1, err)
}

// message reads one object, whose brace was read, to its end.
func (b *batchParser) message(d *jsontext.Decoder) error {
	var names [][]byte
	var key, payload []byte
	var named, filled string // the fields that did it
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		field := token.String()
		switch field {
		case "channel", "channels":
			if named != "" {
				return errors.New("give either channel or channels")
			}
			named = field
			if names, err = b.names(d, field); len(names) > batchMessagesMax {
				return b.add(names, nil, nil) // refuses it; the rest was not read
			}
		case "data", "base64":
			if filled != "" {
				return errors.New("give either data or base64")
			}
			filled = field
			payload, err = text(d, field)
			if err == nil && field == "base64" {
				payload, err = base64.StdEncoding.Strict().AppendDecode(nil, payload)
			}
		case "key":
			if key != nil {
				return errors.New("there are two keys")
			}
			if key, err = text(d, field); err == nil {
				var ok bool
				if key, ok = wire.ParseKey(key); !ok {
					err = fmt.Errorf("a key is 1 to %d printable ASCII characters without blanks", wire.KeyBytesMax)
				}
			}
		default:
			err = fmt.Errorf("there is no field %.40q, only channel or channels, data or base64, and key", field)
		}
		if err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	switch {
	case named == "":
		return errors.New("channel or channels is missing")
	case filled == "":
		return errors.New("data or base64 is missing")
	}
	return b.add(names, key, payload)
}

func (b *batchParser) names(d *jsontext.Decoder, field string) (names [][]byte, err error) {
	if field == "channels" {
		if token, err := d.ReadToken(); err != nil {
			return nil, err
		} else if token.Kind() != '[' {
			return nil, errors.New("channels is no array")
		}
	}
	for field == "channel" && len(names) == 0 || field == "channels" && d.PeekKind() != ']' {
		name, err := text(d, "a channel")
		switch {
		case err != nil:
			return nil, err
		case channel.IsReserved(name):
			return nil, errors.New("channels that begin with -/ are the server's own")
		case !channel.ValidName(name):
			return nil, fmt.Errorf("%.40q is no channel: 1 to %d bytes of UTF-8", name, channel.NameBytesMax)
		}
		if names = append(names, name); len(names) > batchMessagesMax {
			return names, nil
		}
	}
	if field == "channels" {
		if len(names) == 0 && d.PeekKind() == ']' {
			return nil, errors.New("channels is empty")
		}
		_, err = d.ReadToken()
	}
	return names, err
}

func text(d *jsontext.Decoder, what string) ([]byte, error) {
	if kind := d.PeekKind(); kind != '"' && kind > 0 {
		return nil, fmt.Errorf("%s is no string", what)
	}
	value, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	return jsontext.AppendUnquote([]byte{}, value)
}

// add appends a message for each channel, within the limits.
func (b *batchParser) add(names [][]byte, key, payload []byte) error {
	b.read++
	b.bytes += len(names) * len(payload)
	switch {
	case len(payload) > b.messageBytesMax:
		return refuse(resultTooBig, http.StatusRequestEntityTooLarge, "message %d has %d bytes, and the limit is %d (--message-bytes)", b.read, len(payload), b.messageBytesMax)
	case len(b.messages)+len(names) > batchMessagesMax:
		return refuse(resultTooBig, http.StatusRequestEntityTooLarge, "a batch has at most %d messages, each channel being one", batchMessagesMax)
	case b.bytes > b.bytesMax:
		return refuse(resultTooBig, http.StatusRequestEntityTooLarge, "a batch publishes at most %d bytes, counted once for each channel", b.bytesMax)
	}
	for _, name := range names {
		b.messages = append(b.messages, &bus.Publication{Channel: name, Key: key, Payload: payload})
	}
	return nil
}
