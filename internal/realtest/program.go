//go:build linux

package realtest

import (
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
	// An engine gives its containers shutdownSeconds of this.
	endTimeout = 20 * time.Second
)

// A program is a running server.
type program struct {
	name   string
	pid    int
	stdout string // path of what it printed
	stderr string
	done   chan struct{} // closed when it has ended and been waited for
	state  *os.ProcessState
}

// start starts a command whose output goes to files in the folder. It gets no
// environment but a home in the folder and path.
func (p *place) start(name, path string, command ...string) (*program, error) {
	g := &program{
		name:   name,
		stdout: p.path(name + ".out"),
		stderr: p.path(name + ".err"),
		done:   make(chan struct{}),
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = p.dir
	cmd.Env = []string{"HOME=" + p.dir, "PATH=" + path, "LC_ALL=C"}
	// Its own group keeps a terminal's interrupt from it, so that it is ended
	// in order; the parent's death still reaches it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go g.run(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p.programs = append(p.programs, g)
	return g, nil
}

// run starts cmd, says so, and waits for its end.
func (g *program) run(cmd *exec.Cmd, started chan<- error) {
	// prctl(2): the parent whose death is signalled is the thread that forked.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stdout, err := os.Create(g.stdout)
	if err != nil {
		started <- err
		return
	}
	defer stdout.Close()
	stderr, err := os.Create(g.stderr)
	if err != nil {
		started <- err
		return
	}
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	g.pid = cmd.Process.Pid
	started <- nil
	_ = cmd.Wait() // a server's exit status says nothing; its log does
	g.state = cmd.ProcessState
	close(g.done)
}

// ready calls probe until it returns nil, the program ends or a minute passes.
func (g *program) ready(probe func() error) error {
	deadline := time.Now().Add(readyTimeout)
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-g.done:
			return fmt.Errorf("%s ended (%v) before it was ready:\n%s", g.name, g.state, tail(g.output(), 40))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %v: %w\n%s", g.name, readyTimeout, err, tail(g.output(), 40))
		}
	}
}

// output returns what the program has printed.
func (g *program) output() string {
	stdout, _ := os.ReadFile(g.stdout)
	stderr, _ := os.ReadFile(g.stderr)
	return string(stdout) + string(stderr)
}

// end asks the program to end, and kills its process group if it does not.
func (g *program) end() error {
	select {
	case <-g.done:
		return nil
	default:
	}
	// Until it is waited for, its process id is not given to another.
	_ = syscall.Kill(g.pid, syscall.SIGTERM)
	select {
	case <-g.done:
		return nil
	case <-time.After(endTimeout):
	}
	_ = syscall.Kill(-g.pid, syscall.SIGKILL)
	select {
	case <-g.done:
		return fmt.Errorf("%s had to be killed: it did not end within %v", filepath.Base(g.name), endTimeout)
	case <-time.After(endTimeout):
		return fmt.Errorf("%s (process %d) cannot be killed", g.name, g.pid)
	}
}
