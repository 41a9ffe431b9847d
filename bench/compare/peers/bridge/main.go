// Bridge lets a publisher that speaks Redis publish to a server that does not:
// it takes PUBLISH and forwards the message to NATS, or to nchan by HTTP.
//
//	bridge --listen 127.0.0.1:6379 --to nats://127.0.0.1:4222
//	bridge --listen 127.0.0.1:6379 --to http://127.0.0.1:8081/pub/
//
// It stands where Redis stands for the other baselines, so all of them have one
// hop between the publisher and the server. PUBLISH answers 1 when the message
// is on its way and an error when it is known that nothing gets there: a Redis
// that has no subscriber of its own would not know more.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/tidwall/redcon"
)

// A target is where messages go. Messages of one channel arrive in the order
// in which they are published. publish does not wait for the answer and
// returns the first error of any earlier message.
type target interface {
	publish(channel string, payload []byte) error
}

func main() {
	listen := flag.String("listen", "127.0.0.1:6379", "address and port to take PUBLISH on")
	to := flag.String("to", "", "nats://host:port, or the http:// URL of a publisher location, to which the channel is appended")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "bridge:", run(*listen, *to))
	os.Exit(1)
}

func run(listen, to string) error {
	var t target
	var err error
	switch {
	case strings.HasPrefix(to, "nats://"):
		t, err = dialNATS(to)
	case strings.HasPrefix(to, "http://"):
		t = newPoster(to)
	default:
		err = fmt.Errorf("--to is %q; it begins with nats:// or http://", to)
	}
	if err != nil {
		return err
	}
	return redcon.ListenAndServe(listen, func(conn redcon.Conn, command redcon.Command) { answer(t, conn, command) },
		func(redcon.Conn) bool { return true }, nil)
}

// answer carries out one command.
func answer(t target, conn redcon.Conn, command redcon.Command) {
	switch name := strings.ToUpper(string(command.Args[0])); {
	case name == "PING":
		conn.WriteString("PONG")
	case name == "AUTH":
		conn.WriteString("OK")
	case name == "PUBLISH" && len(command.Args) == 3:
		// redcon uses its buffer again, and a target may still have the payload.
		payload := append([]byte(nil), command.Args[2]...)
		if err := t.publish(string(command.Args[1]), payload); err != nil {
			conn.WriteError("ERR " + strings.ReplaceAll(err.Error(), "\n", " "))
			return
		}
		conn.WriteInt(1)
	default:
		conn.WriteError("ERR this bridge knows PUBLISH channel message, and PING")
	}
}
