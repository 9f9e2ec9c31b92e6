//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// guest is the machine inside, of which this program is the first process.
type guest struct {
	options map[string]string // airlock.x=y of the kernel's command line
	fs      string            // that is tested now
	disks   []string          // scratch, log, then a formatted image for each file system, in their order
	image   []byte            // of the file system that is tested
	seed    int64
}

const (
	mountPoint = "/media/usb"
	usb        = mountPoint + "/shop"
	safe       = "safe to remove"
	commandMax = 3 * time.Minute // for one command, under emulation too
)

// runGuest is the first process of a machine. It ends by turning that off.
func runGuest() {
	g := &guest{options: map[string]string{}}
	err := g.run()
	if err != nil {
		fmt.Printf("@@error\t%v\n", err)
	}
	fmt.Println("@@end")
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_HALT)
	select {}
}

func (g *guest) run() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	for _, word := range strings.Fields(string(line)) {
		if key, value, ok := strings.Cut(word, "="); ok {
			if key, ok := strings.CutPrefix(key, "airlock."); ok {
				g.options[key] = value
			}
		}
	}
	if g.seed, err = strconv.ParseInt(g.options["seed"], 10, 64); err != nil {
		return err
	}
	if err := loadModules(); err != nil {
		return err
	}
	os.Setenv("PATH", "/bin")
	os.Setenv("HOME", "/home")
	if err := g.findDisks(); err != nil {
		return err
	}
	return g.scenarios()
}

// loadModules loads the modules in /modules, if there are any, in the order of
// their names.
func loadModules() error {
	list, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	for _, path := range list {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST {
			return fmt.Errorf("loading %s: %w", path, err)
		}
		f.Close()
	}
	return nil
}

// findDisks waits for the disks, and makes device-mapper's own node.
func (g *guest) findDisks() error {
	g.disks = strings.Split(g.options["disks"], ",")
	for _, path := range g.disks {
		if err := waitFor(path); err != nil {
			return err
		}
	}
	if _, err := os.Stat("/dev/mapper/control"); err == nil {
		return nil
	}
	if err := os.MkdirAll("/dev/mapper", 0o755); err != nil {
		return err
	}
	return unix.Mknod("/dev/mapper/control", unix.S_IFCHR|0o600, int(unix.Mkdev(10, 236)))
}

func waitFor(path string) error {
	for range 300 {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s has not come up", path)
}

// outcome is how a command ended.
type outcome struct {
	code int
	text string // of both outputs
}

func (o outcome) said(what string) bool { return strings.Contains(o.text, what) }

// short is the outcome for a table.
func (o outcome) short() string {
	text := strings.TrimSpace(o.text)
	for line := range strings.Lines(text) {
		if strings.Contains(line, ": error: ") {
			text = strings.TrimSpace(line)
			break
		}
	}
	if len(text) > 160 {
		text = text[:160] + "…"
	}
	return fmt.Sprintf("exit %d: %s", o.code, strings.ReplaceAll(text, "\n", " / "))
}

// do runs a command to its end.
func do(name string, args ...string) outcome { return doFor(commandMax, name, args...) }

// doFor is do for at most so long.
func doFor(limit time.Duration, name string, args ...string) outcome {
	cmd, out, stop := command(limit, name, args...)
	defer stop()
	err := cmd.Run()
	return ended(cmd, out, err)
}

func command(limit time.Duration, name string, args ...string) (*exec.Cmd, *bytes.Buffer, func()) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	cmd := exec.CommandContext(ctx, "/bin/"+name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out, cancel
}

func ended(cmd *exec.Cmd, out *bytes.Buffer, err error) outcome {
	if cmd.ProcessState == nil {
		return outcome{-1, fmt.Sprint(err)}
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String()}
}

// create makes a small bundle, without parity: before it is made, more room is
// asked for than the parity of a small bundle takes, and these media are tiny.
func create(out string, more ...string) outcome {
	return do("bundle", append([]string{"create", ref(), "-o", out, "--key", "/src/key", "--as", "ana", "--quiet",
		"--created", "2026-01-02T03:04:05Z", "--volume-size", "2MiB", "--parity", "0"}, more...)...)
}

func ref() string {
	text, _ := os.ReadFile("/src/ref")
	return string(text)
}

func bigRef() string {
	text, _ := os.ReadFile("/src/bigref")
	return string(text)
}

func verify(path string) outcome {
	return do("unbundle", "verify", path, "--trust", "/src/allowed_signers", "--quiet")
}

func send(to string) outcome { return do("bundle", "send", "/out", to, "--quiet") }

// mount mounts a device as the file system that is tested.
func (g *guest) mount(device string, flags uintptr) error {
	if err := os.MkdirAll(mountPoint, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, mountPoint, g.fs, flags, ""); err != nil {
		return fmt.Errorf("mounting %s as %s: %w", device, g.fs, err)
	}
	return nil
}

func unmount() error {
	var err error
	for range 50 {
		if err = unix.Unmount(mountPoint, 0); err != unix.EBUSY {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("unmounting: %w", err)
	}
	return nil
}

// check is a scenario's verdict: an error is a failure.
func (g *guest) report(name string, detail string, err error) {
	state := "ok"
	if err != nil {
		state, detail = "FAIL", strings.TrimSpace(detail+" "+strings.ReplaceAll(err.Error(), "\n", " / "))
	}
	fmt.Printf("@@result\t%s\t%s\t%s\t%s\n", g.fs, name, state, detail)
}
