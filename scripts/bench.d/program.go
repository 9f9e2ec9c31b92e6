//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// A registry is Debian's docker-registry.
type registry struct {
	*program
	addr string // "127.0.0.1:PORT"
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// startRegistry starts a registry that keeps its blobs in storage and its
// configuration in dir.
func startRegistry(ctx context.Context, dir, storage string) (*registry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "registry.yml")
	err := os.WriteFile(config, fmt.Appendf(nil, `version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
  maintenance: {uploadpurging: {enabled: false}}
http: {addr: "127.0.0.1:0", secret: bench}
`, storage), 0o600)
	if err != nil {
		return nil, err
	}
	p, err := startProgram(dir, "registry", os.Getenv("PATH"), "docker-registry", "serve", config)
	if err != nil {
		return nil, err
	}
	r := &registry{program: p}
	err = p.ready(ctx, func() error {
		// The kernel chose the port; the log names it.
		found := listening.FindStringSubmatch(p.output())
		if found == nil {
			return errors.New("no port in the log")
		}
		r.addr = found[1]
		return answers(ctx, http.DefaultClient, "http://"+r.addr+"/v2/")
	})
	if err != nil {
		p.end()
		return nil, err
	}
	return r, nil
}

func answers(ctx context.Context, client *http.Client, url string) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	reply, err := client.Do(q)
	if err != nil {
		return err
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return errors.New(reply.Status)
	}
	return nil
}

// A generation is a kind of Docker Engine.
type generation int

const (
	classic generation = iota // Debian's, with the image store of its own
	today                     // today's, with containerd's image store
)

func (g generation) String() string {
	return [...]string{"Docker 20.10, classic store", "today's Docker, containerd store"}[g]
}

// An engine is a dockerd on a containerd of its own, apart from any other.
type engine struct {
	dir      string
	programs []*program // containerd, dockerd
}

func (e *engine) host() string { return "unix://" + filepath.Join(e.dir, "d.sock") }

// env makes docker and whoever knows its variables talk to this engine.
func (e *engine) env() []string {
	return []string{
		"DOCKER_HOST=" + e.host(), "DOCKER_CONFIG=" + e.dir, "DOCKER_CONTEXT=", "DOCKER_BUILDKIT=0",
		"DOCKER_TLS_VERIFY=", "DOCKER_API_VERSION=", "DOCKER_DEFAULT_PLATFORM=",
	}
}

// startEngine starts an engine whose data lies in dir, which is made and must
// have a short name: the path of a unix socket has at most 108 bytes.
func startEngine(ctx context.Context, g generation, tools, dir string) (*engine, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	e := &engine{dir: dir}
	path := os.Getenv("PATH")
	containerd, dockerd := "/usr/bin/containerd", "/usr/sbin/dockerd"
	if g == today {
		containerd, dockerd = filepath.Join(tools, "containerd"), filepath.Join(tools, "dockerd")
		path = tools + ":" + path
	}
	err := e.startContainerd(ctx, containerd, path)
	if err == nil {
		err = e.startDockerd(ctx, g, dockerd, path)
	}
	if err != nil {
		return nil, errors.Join(err, e.end())
	}
	return e, nil
}

func (e *engine) file(name string) string { return filepath.Join(e.dir, name) }

func (e *engine) startContainerd(ctx context.Context, containerd, path string) error {
	// The CRI plugin is Kubernetes's; it would open a port.
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
`, e.file("croot"), e.file("cstate"), e.file("c.sock"))
	if err := os.WriteFile(e.file("containerd.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	p, err := startProgram(e.dir, "containerd", path, containerd, "--config", e.file("containerd.toml"))
	if err != nil {
		return err
	}
	e.programs = append(e.programs, p)
	return p.ready(ctx, func() error {
		conn, err := net.DialTimeout("unix", e.file("c.sock"), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (e *engine) startDockerd(ctx context.Context, g generation, dockerd, path string) error {
	config := fmt.Sprintf(`{"features": {"containerd-snapshotter": %t}, "shutdown-timeout": 3}`, g == today)
	if err := os.WriteFile(e.file("daemon.json"), []byte(config), 0o600); err != nil {
		return err
	}
	p, err := startProgram(e.dir, "dockerd", path, dockerd,
		"--config-file", e.file("daemon.json"), "--data-root", e.file("data"), "--exec-root", e.file("exec"),
		"--pidfile", e.file("dockerd.pid"), "--host", e.host(), "--containerd", e.file("c.sock"),
		// Neither rules of the machine's firewall nor an interface are touched.
		"--iptables=false", "--ip6tables=false", "--bridge=none")
	if err != nil {
		return err
	}
	e.programs = append(e.programs, p)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", e.file("d.sock"))
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	return p.ready(ctx, func() error { return answers(ctx, client, "http://docker/_ping") })
}

// end ends the engine and removes all that it stored.
func (e *engine) end() error {
	for i := len(e.programs) - 1; i >= 0; i-- {
		e.programs[i].end()
	}
	return removeWithMounts(e.dir)
}

// removeWithMounts unmounts what is mounted below dir, then removes it.
func removeWithMounts(dir string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		// proc_pid_mountinfo(5): the fifth field is the mount point.
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			if err := unix.Unmount(fields[4], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("unmounting %q: %w", fields[4], err)
			}
		}
	}
	return os.RemoveAll(dir)
}
