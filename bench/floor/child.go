package main

import (
	"errors"
	"os"
	"os/exec"

	process "c10m/bench/child"
	"c10m/bench/proc"
)

// A child is a process that ends with this one, whatever happens.
type child struct {
	// Fixed after construction.
	process *os.Process
	output  words
	ended   <-chan struct{} // closed when the process is gone
}

// words are the end of what a child has said.
type words struct{ *process.Child }

func (w words) String() string { return w.Output() }

// startChild runs a program. It is killed by stop, and by the kernel if this
// process dies without stopping it.
func startChild(command *exec.Cmd) (*child, error) {
	started, err := process.Start(command, process.Kill)
	if err != nil {
		return nil, err
	}
	found, err := os.FindProcess(started.PID)
	if err != nil {
		started.Stop()
		return nil, err
	}
	return &child{process: found, output: words{started}, ended: started.Ended()}, nil
}

// stop kills the child and waits until it is gone.
func (c *child) stop() { c.output.Stop() }

// died returns an error with the child's last words if it is gone.
func (c *child) died() error { return c.output.Died() }

// cpu is the processor time that the child has had, in seconds.
func (c *child) cpu() (float64, error) {
	seconds, err := proc.CPU(c.process.Pid)
	if err != nil {
		return 0, errors.Join(err, c.died())
	}
	return seconds, nil
}
