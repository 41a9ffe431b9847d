package load

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// A Bus publishes through a Redis, or what speaks its protocol. It is a bare
// RESP connection: PUBLISH commands leave in order and do not wait for the
// answers to earlier ones, which a pool of connections would not keep. One
// goroutine may publish.
type Bus struct {
	// Fixed after construction.
	conn net.Conn

	// Owned by the publisher.
	commands []byte // appended and not flushed yet
	payload  []byte // of the last message

	// Guarded by mu.
	mu        sync.Mutex
	answers   int
	receivers int // of the last answer
	unheard   int // answers that were 0
	err       error
}

// busTimeout bounds the connect and a blocked write.
const busTimeout = 5 * time.Second

// DialBus connects to address ("127.0.0.1:6379").
func DialBus(address, password string) (*Bus, error) {
	conn, err := net.DialTimeout("tcp", address, busTimeout)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the bus at %s: %w; name another with --bus", address, err)
	}
	b := &Bus{conn: conn}
	r := bufio.NewReader(conn)
	if password != "" {
		conn.SetDeadline(time.Now().Add(busTimeout))
		_, err := conn.Write(appendCommand(nil, "AUTH", []byte(password)))
		if err == nil {
			_, err = readInteger(r)
		}
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("the bus at %s does not take the password: %w", address, err)
		}
		conn.SetDeadline(time.Time{})
	}
	go b.readAnswers(r)
	return b, nil
}

// Publish sends a PUBLISH. It returns the first error that the bus gave to
// any earlier one.
func (b *Bus) Publish(channel string, payload []byte) error {
	b.Append(channel, payload)
	return b.Flush()
}

// Append adds a PUBLISH to those that the next Flush sends.
func (b *Bus) Append(channel string, payload []byte) {
	b.commands = appendCommand(b.commands, "PUBLISH", []byte(channel), payload)
}

// Flush sends what was appended, in one piece, and returns as Publish does.
func (b *Bus) Flush() error {
	b.mu.Lock()
	err := b.err
	b.mu.Unlock()
	if err != nil {
		return err
	}
	b.conn.SetWriteDeadline(time.Now().Add(busTimeout))
	_, err = b.conn.Write(b.commands)
	b.commands = b.commands[:0]
	return err
}

// Receivers is the last number that the bus answered, and how many answers
// there were.
func (b *Bus) Receivers() (receivers, answers int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.receivers, b.answers
}

// Unheard is how many answers said that nobody was there to get the message.
func (b *Bus) Unheard() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unheard
}

// Close ends the connection.
func (b *Bus) Close() error { return b.conn.Close() }

func (b *Bus) readAnswers(r *bufio.Reader) {
	for {
		n, err := readInteger(r)
		b.mu.Lock()
		if err != nil {
			b.err = fmt.Errorf("the bus failed: %w", err)
			b.mu.Unlock()
			return
		}
		b.answers++
		b.receivers = n
		if n == 0 {
			b.unheard++
		}
		b.mu.Unlock()
	}
}

// appendCommand appends a command as an array of bulk strings.
func appendCommand(dst []byte, name string, arguments ...[]byte) []byte {
	dst = fmt.Appendf(dst, "*%d\r\n$%d\r\n%s\r\n", 1+len(arguments), len(name), name)
	for _, a := range arguments {
		dst = fmt.Appendf(dst, "$%d\r\n", len(a))
		dst = append(append(dst, a...), "\r\n"...)
	}
	return dst
}

// readInteger reads ":n", or "+OK" as 0.
func readInteger(r *bufio.Reader) (int, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it closed the connection")
		}
		return 0, err
	}
	if len(line) < 3 {
		return 0, fmt.Errorf("it answered %q", line)
	}
	text := string(line[1 : len(line)-2])
	switch line[0] {
	case ':':
		return strconv.Atoi(text)
	case '+':
		return 0, nil
	}
	return 0, fmt.Errorf("it answered %q", text)
}

// Publisher returns a Send for Drive that publishes stamped payloads of bytes
// bytes on the channels of the client's connections.
func (c *Client) Publisher(b *Bus, bytes int) func(Message) error {
	return func(m Message) error {
		c.Append(b, m, Nanos(), bytes)
		return b.Flush()
	}
}

// Append adds a message with a payload of bytes bytes to what the bus sends
// next. nanos is the time from which its latency is to count.
func (c *Client) Append(b *Bus, m Message, nanos int64, bytes int) {
	b.payload = AppendStamped(b.payload[:0], m.Sequence, nanos, bytes)
	b.Append(c.ChannelOf(m.Connection), b.payload)
}
