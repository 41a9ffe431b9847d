package wire

import "time"

// dateBytes is the length of a Date with its name and the end of its line.
const dateBytes = len("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")

// AppendDate appends the line that says when an answer was made (RFC 9110, 6.6.1), in
// the one form that is sent (5.6.7).
func AppendDate(out []byte, now time.Time) []byte {
	return append(now.UTC().AppendFormat(append(out, "Date: "...), "Mon, 02 Jan 2006 15:04:05"), " GMT\r\n"...)
}
