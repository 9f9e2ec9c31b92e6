//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	readyTimeout = 60 * time.Second
	endTimeout   = 60 * time.Second
)

// A program is a server that the bench started.
type program struct {
	name string
	pid  int
	log  string // path of what it printed
	done chan struct{}
}

// startProgram starts a server with its output in dir/name.log. It gets no
// environment but a home in dir and a PATH, and is told to end if the bench dies.
func startProgram(dir, name, path string, args ...string) (*program, error) {
	p := &program{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = []string{"HOME=" + dir, "PATH=" + path, "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go func() {
		// prctl(2): the parent whose death is signalled is the thread that forked.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // a server's exit status says nothing; its log does
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// ready calls probe until it succeeds, the program ends or a minute passes.
func (p *program) ready(ctx context.Context, probe func() error) error {
	deadline := time.After(readyTimeout)
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready:\n%s", p.name, p.output())
		case <-deadline:
			return fmt.Errorf("%s is not ready after %v: %w\n%s", p.name, readyTimeout, err, p.output())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *program) output() string {
	text, _ := os.ReadFile(p.log)
	return string(text)
}

// end asks the program to end, and kills it if it does not.
func (p *program) end() {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.done: // its process id may be another's by now
			return
		default:
		}
		_ = syscall.Kill(p.pid, signal)
		select {
		case <-p.done:
		case <-time.After(endTimeout):
		}
	}
}
