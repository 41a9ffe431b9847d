package wire

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendPublished appends what who publishes over HTTP is told of a message, here
// and at the admin address: a JSON object. subscribers of less than 0 and an empty
// id are not known, and left out.
func AppendPublished(out []byte, name string, connections, subscribers int, id string) []byte {
	out = AppendQuoted(append(out, `{"channel":`...), name)
	out = strconv.AppendInt(append(out, `,"connections":`...), int64(connections), 10)
	if subscribers >= 0 {
		out = strconv.AppendInt(append(out, `,"subscribers":`...), int64(subscribers), 10)
	}
	if id != "" {
		out = AppendQuoted(append(out, `,"id":`...), id)
	}
	return append(out, '}')
}

// AppendQuoted appends a JSON string; what is not UTF-8 in text is replaced.
func AppendQuoted(out []byte, text string) []byte {
	quoted, err := jsontext.AppendQuote(out, strings.ToValidUTF8(text, "\uFFFD"))
	if err != nil {
		panic("BUG: " + err.Error()) // only for text that is no UTF-8
	}
	return quoted
}

// A Part is how many connections one loop has in a channel.
type Part struct {
	Of          string // the loop, by a name that no other has
	Connections int
	Version     uint64 // ascends with each change
}

func (p *Part) appendFields(to []byte) []byte {
	to = append(append(append(to, `"of":"`...), p.Of...), `","connections":`...)
	to = strconv.AppendInt(to, int64(p.Connections), 10)
	return strconv.AppendUint(append(to, `,"version":`...), p.Version, 10)
}

// AppendPresence appends the answer to who asks for the parts of a channel: that to
// who asks for their number, and the parts.
func AppendPresence(out []byte, name string, parts []Part) []byte {
	connections := 0
	for i := range parts {
		connections += parts[i].Connections
	}
	out = AppendPublished(out, name, connections, -1, "")
	out = append(out[:len(out)-1], `,"presence":[`...)
	for i := range parts {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(parts[i].appendFields(append(out, '{')), '}')
	}
	return append(out, "]}"...)
}

// AppendPresenceChange appends what is published of those who came to a channel and left
// it: on the loop of a part, of which now is the latest.
func AppendPresenceChange(out []byte, joined, left int, now Part) []byte {
	out = strconv.AppendInt(append(out, `{"joined":`...), int64(joined), 10)
	out = strconv.AppendInt(append(out, `,"left":`...), int64(left), 10)
	return append(now.appendFields(append(out, ',')), '}')
}
