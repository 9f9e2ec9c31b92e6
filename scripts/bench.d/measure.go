//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A usage is what one run of a step took.
type usage struct {
	wall       time.Duration
	cpu        time.Duration // user and system time of the commands
	peak       int64         // resident bytes; of piped commands, the sum
	server     time.Duration // processor time of the servers they talked to
	serverPeak int64         // resident bytes of the largest server
	made       int64         // bytes of the files made
}

// A step is one thing to measure.
type step struct {
	name    string
	prepare func(context.Context) error // may be nil; not measured
	run     func(context.Context, *meter) error
	made    string // file or folder whose bytes count; may be empty
	servers func() []*program
	check   func(context.Context) error // may be nil; not measured
}

// measure runs a step once. Before it starts, what earlier steps wrote is on
// the disk, so that no step pays for another.
func measure(ctx context.Context, s step) (usage, error) {
	if s.prepare != nil {
		if err := s.prepare(ctx); err != nil {
			return usage{}, fmt.Errorf("preparing %s: %w", s.name, err)
		}
	}
	unix.Sync()
	var servers []*program
	if s.servers != nil {
		servers = s.servers()
	}
	before, err := serverTime(servers)
	if err != nil {
		return usage{}, err
	}
	for _, p := range servers {
		if err := forgetPeak(p.pid); err != nil {
			return usage{}, err
		}
	}
	m := &meter{}
	start := time.Now()
	if err := s.run(ctx, m); err != nil {
		return usage{}, fmt.Errorf("%s: %w", s.name, err)
	}
	u := usage{wall: time.Since(start), cpu: m.cpu, peak: m.peak}
	after, err := serverTime(servers)
	if err != nil {
		return usage{}, err
	}
	u.server = after - before
	for _, p := range servers {
		u.serverPeak = max(u.serverPeak, peakMemory(p.pid))
	}
	if s.made != "" {
		if u.made, err = bytesIn(s.made); err != nil {
			return usage{}, err
		}
	}
	if s.check != nil {
		if err := s.check(ctx); err != nil {
			return usage{}, fmt.Errorf("after %s: %w", s.name, err)
		}
	}
	return u, nil
}

func serverTime(servers []*program) (time.Duration, error) {
	var total time.Duration
	for _, p := range servers {
		t, err := processorTime(p.pid)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.name, err)
		}
		total += t
	}
	return total, nil
}

// A meter runs commands and adds up what they take.
type meter struct {
	cpu  time.Duration
	peak int64
}

// A command is a program with its arguments.
type command struct {
	args    []string
	env     []string // added to the harness's own
	dir     string
	in, out string // files; empty: nothing, and shown if the command fails
}

func (c command) String() string { return strings.Join(c.args, " ") }

// run runs commands one after the other.
func (m *meter) run(ctx context.Context, commands ...command) error {
	for _, c := range commands {
		if err := m.pipe(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// pipe runs commands side by side, each one's output being the next one's
// input.
func (m *meter) pipe(ctx context.Context, commands ...command) error {
	var running []*process
	var in io.Reader
	var errs []error
	for i, c := range commands {
		p, out, err := start(ctx, c, in, i < len(commands)-1)
		if err != nil {
			errs = append(errs, err)
			break
		}
		in = out
		running = append(running, p)
	}
	var peak int64
	for _, p := range running {
		errs = append(errs, p.wait())
		m.cpu += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
		peak += p.peak
	}
	m.peak = max(m.peak, peak)
	return errors.Join(errs...)
}

// A process is a running command whose memory is watched.
type process struct {
	command command
	cmd     *exec.Cmd
	output  strings.Builder
	files   []io.Closer
	peak    int64
	stop    chan struct{}
	watcher sync.WaitGroup
}

func start(ctx context.Context, c command, in io.Reader, piped bool) (*process, io.Reader, error) {
	p := &process{command: c, stop: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	p.cmd.Env, p.cmd.Dir = append(os.Environ(), c.env...), c.dir
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, &p.output, &p.output
	// An interrupted command ends in its own way.
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 20 * time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if closer, ok := in.(io.Closer); ok {
		p.files = append(p.files, closer)
	}
	if c.in != "" {
		f, err := os.Open(c.in)
		if err != nil {
			return nil, nil, err
		}
		p.cmd.Stdin, p.files = f, append(p.files, f)
	}
	if c.out != "" {
		f, err := os.Create(c.out)
		if err != nil {
			return nil, nil, err
		}
		p.cmd.Stdout, p.files = f, append(p.files, f)
	}
	var out io.Reader
	if piped {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		p.cmd.Stdout, p.files, out = w, append(p.files, w), r
	}
	err := p.cmd.Start()
	for _, f := range p.files {
		f.Close() // the child has its own
	}
	if err != nil {
		return nil, nil, err
	}
	p.watcher.Go(p.watch)
	return p, out, nil
}

// Memory is looked at every watchFirst, and after a while every watchLast, as
// a look takes time too. The kernel keeps the highest value, so only what a
// command's last moments add can be missed.
const (
	watchFirst = 5 * time.Millisecond
	watchLast  = 100 * time.Millisecond
)

func (p *process) watch() {
	for begun := time.Now(); ; {
		p.peak = max(p.peak, peakMemory(p.cmd.Process.Pid))
		select {
		case <-p.stop:
			return
		case <-time.After(min(max(time.Since(begun)/100, watchFirst), watchLast)):
		}
	}
}

func (p *process) wait() error {
	err := p.cmd.Wait()
	close(p.stop)
	p.watcher.Wait()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", p.command, err, strings.TrimSpace(p.output.String()))
	}
	return nil
}

// forgetFiles takes the files at or below path out of the page cache, so that
// they are read from the disk next time. They must have been written to it.
func forgetFiles(path string) error {
	return filepath.Walk(path, func(name string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
	})
}
