package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"c10m/internal/child"
)

// A partner is a child that plays a role of this program: it is told what to
// do by lines on its standard input, answers by lines on its standard output,
// and ends with its input.
type partner struct {
	// Fixed after construction.
	*child.Child
	stdin io.WriteCloser
	words *os.File
	lines chan string // closed when its output ends
}

// startPartner starts this program in a role; config is the role's argument.
func startPartner(ctx context.Context, role string, config any) (*partner, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	argument, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program, role, string(argument))
	p := &partner{lines: make(chan string, linesMax)}
	if p.stdin, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	words, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command.Stdout, p.words = stdout, words
	p.Child, err = child.Start(command, child.Kill)
	stdout.Close()
	if err != nil {
		p.Close()
		return nil, err
	}
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(words); scanner.Scan(); {
			select {
			case p.lines <- scanner.Text():
			default: // nobody has listened for linesMax lines, and nobody will
			}
		}
	}()
	return p, nil
}

// parseRole reads the argument of a role.
func parseRole(arguments []string, config any) error {
	if len(arguments) != 1 {
		return errors.New("this role is for floor itself, with one argument")
	}
	return json.Unmarshal([]byte(arguments[0]), config)
}

// tell writes a line to the partner.
func (p *partner) tell(line string) error {
	_, err := fmt.Fprintln(p.stdin, line)
	return err
}

// hear waits for the partner's next line. If it has ended, the error has its
// last words.
func (p *partner) hear(ctx context.Context) (string, error) {
	select {
	case line, open := <-p.lines:
		if open {
			return line, nil
		}
		<-p.Ended()
		return "", p.Died()
	case <-ctx.Done():
		return "", fmt.Errorf("%w while %s is silent; %s", ctx.Err(), p.name(), p.Output())
	}
}

func (p *partner) name() string { return fmt.Sprintf("process %d", p.PID) }

// await waits for one certain line.
func (p *partner) await(ctx context.Context, wanted string) error {
	line, err := p.hear(ctx)
	if err == nil && line != wanted {
		err = fmt.Errorf("%s says %q instead of %q", p.name(), line, wanted)
	}
	return err
}

// hearJSON waits for one line with an object.
func (p *partner) hearJSON(ctx context.Context, object any) error {
	line, err := p.hear(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(line), object); err != nil {
		return fmt.Errorf("%s says %q: %w", p.name(), line, err)
	}
	return nil
}

// end has the partner come to its end by itself, or kills it.
func (p *partner) end() {
	p.stdin.Close()
	select {
	case <-p.Ended():
	case <-time.After(partnerEndTimeout):
	}
	p.Stop()
	p.Close()
}

// Close closes the pipes, which ends a partner that is well.
func (p *partner) Close() error {
	return errors.Join(ignoreClosed(p.stdin.Close()), ignoreClosed(p.words.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
