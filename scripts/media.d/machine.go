//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// machine is a kind of machine to test in.
type machine struct {
	name    string
	fs      []string // file systems that its kernel has
	modules []string // that it needs, in their order
	command func(h *host, m machine, initrd string, disks []string) (*exec.Cmd, error)
	nodes   string // the disks' names inside, the first one's
	hot     bool   // it has a stick that can be pulled out
	fast    bool   // it can take in a bundle of more than 4 GiB
}

var machines = []machine{
	{
		// Everything is built into its kernel (scripts/build-uml).
		name: "uml", fs: []string{"vfat", "exfat"}, nodes: "/dev/ubda", command: umlCommand, fast: true,
	},
	{
		// Emulated: KVM is not everywhere.
		name: "qemu", fs: []string{"vfat", "exfat"}, nodes: "/dev/vda", command: qemuCommand, hot: true,
		modules: []string{"virtio_pci", "virtio_blk", "xhci-pci", "usb-storage", "crct10dif_generic", "crc64_rocksoft_generic", "sd_mod",
			"nls_ascii", "nls_cp437", "nls_iso8859-1", "nls_utf8", "vfat", "exfat", "crc32c_generic", "ext4", "dm-delay", "dm-flakey", "dm-log-writes"},
	},
}

// run starts a machine, takes down its results and sees that it ends.
func (h *host) run(ctx context.Context, m machine) error {
	initrd, err := h.initrdOf(m)
	if err != nil {
		return err
	}
	disks, err := h.disks(m)
	if err != nil {
		return err
	}
	if h.large && m.fast {
		large, err := h.largeDisks(ctx)
		if err != nil {
			return err
		}
		disks = append(disks, large...)
	}
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	cmd, err := m.command(h, m, initrd, disks)
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { kill(cmd) })
	err = h.listen(m, out)
	stop()
	// It turns itself off; what does not is turned off.
	timer := time.AfterFunc(10*time.Second, func() { kill(cmd) })
	_ = cmd.Wait()
	timer.Stop()
	if ctx.Err() != nil {
		return fmt.Errorf("given up after %s", h.limit)
	}
	if h.kept {
		err = errors.Join(err, h.keepDisk("cut.img", disks[1]), h.keepDisk("end.img", disks[0]))
	}
	return err
}

// keepDisk copies what a disk holds to the folder that was named for that.
func (h *host) keepDisk(name, disk string) error {
	image, err := os.ReadFile(disk)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.keep, name), image[:scratchSize], 0o644)
}

// listen reads a machine's console to its end.
func (h *host) listen(m machine, console io.Reader) error {
	lines := bufio.NewScanner(console)
	var last []string
	ended := false
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if h.show {
			fmt.Printf("%s| %s\n", m.name, line)
		}
		at := strings.Index(line, "@@")
		if at < 0 {
			last = append(last, line)
			if len(last) > 60 {
				last = last[1:]
			}
			continue
		}
		switch f := strings.Split(line[at:], "\t"); f[0] {
		case "@@result":
			row := append([]string{m.name}, f[1:]...)
			for len(row) < 5 {
				row = append(row, "")
			}
			h.rows = append(h.rows, row[:5])
			fmt.Printf("test-media: %s\n", strings.Join(row, "  "))
		case "@@error":
			return errors.New(strings.Join(f[1:], " "))
		case "@@unplug", "@@plug":
			if err := h.stick(f[0] == "@@plug"); err != nil {
				return err
			}
		case "@@kept":
			h.kept = true
		case "@@end":
			ended = true
		}
	}
	if !ended {
		return fmt.Errorf("it ended early, having said: %s", strings.Join(last, " / "))
	}
	return nil
}

// kill ends a machine, of which each process inside is one here as well.
func kill(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// options are what a machine's kernel is told for the guest.
func (h *host) options(m machine, disks int) string {
	var nodes []string
	for i := range disks {
		nodes = append(nodes, m.nodes[:len(m.nodes)-1]+string(m.nodes[len(m.nodes)-1]+byte(i)))
	}
	s := fmt.Sprintf("airlock.fs=%s airlock.disks=%s airlock.points=%d airlock.seed=%d airlock.brief=%t airlock.large=%t airlock.run=%s airlock.keep=%t",
		strings.Join(m.fs, ","), strings.Join(nodes, ","), h.points, h.seed, h.brief, h.large && m.fast, strings.ReplaceAll(h.only, " ", "_"), h.keep != "")
	if m.hot {
		s += " airlock.stick=/dev/sda"
	}
	return s
}

func umlCommand(h *host, m machine, initrd string, disks []string) (*exec.Cmd, error) {
	if _, err := os.Stat(h.uml); err != nil {
		return nil, missingError("there is no " + h.uml + ": scripts/test-media -build-uml builds it")
	}
	args := []string{"mem=512M", "root=", "initrd=" + initrd, "quiet", "con=null", "con0=fd:0,fd:1", "ssl=null", "uml_dir=" + h.dir, "umid=media"}
	for i, d := range disks {
		args = append(args, fmt.Sprintf("ubd%c=%s", 'a'+i, d))
	}
	cmd := exec.Command(h.uml, append(args, strings.Fields(h.options(m, len(disks)))...)...)
	// The C library's restartable sequences lie in memory that the machine's
	// processes do not have.
	cmd.Env = append(os.Environ(), "TMPDIR="+h.dir, "GLIBC_TUNABLES=glibc.pthread.rseq=0")
	return cmd, nil
}

func qemuCommand(h *host, m machine, initrd string, disks []string) (*exec.Cmd, error) {
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return nil, missingError("qemu-system-x86_64 is not here (package qemu-system-x86)")
	}
	kernels, _ := filepath.Glob(filepath.Join(h.cache, "kernel", "boot", "vmlinuz-*"))
	if len(kernels) == 0 {
		return nil, missingError("no kernel in " + h.cache)
	}
	args := []string{
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "768", "-nodefaults", "-no-reboot", "-display", "none",
		"-serial", "stdio", "-kernel", kernels[0], "-initrd", initrd, "-qmp", "unix:" + h.qmp() + ",server=on,wait=off",
		"-append", "console=ttyS0 quiet loglevel=1 panic=-1 tsc=reliable " + h.options(m, len(disks)),
		"-device", "qemu-xhci,id=xhci",
		"-object", "throttle-group,id=slow,x-bps-write=3000000",
		"-blockdev", "driver=file,filename=" + h.stickFile() + ",node-name=stick-file,cache.no-flush=on",
		"-blockdev", "driver=raw,file=stick-file,node-name=stick-raw",
		"-blockdev", "driver=throttle,throttle-group=slow,file=stick-raw,node-name=stick-node",
		"-device", "usb-storage,bus=xhci.0,drive=stick-node,id=stick,removable=on",
	}
	for i, d := range disks {
		args = append(args,
			"-blockdev", fmt.Sprintf("driver=file,filename=%s,node-name=f%d,cache.no-flush=on", d, i),
			"-blockdev", fmt.Sprintf("driver=raw,file=f%d,node-name=d%d", i, i),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=d%d", i))
	}
	return exec.Command(path, args...), nil
}

func (h *host) qmp() string       { return filepath.Join(h.dir, "qmp") }
func (h *host) stickFile() string { return filepath.Join(h.dir, "stick.img") }

// stick pulls the stick out or puts it in, by QEMU's monitor.
func (h *host) stick(in bool) error {
	c, err := net.DialTimeout("unix", h.qmp(), 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	replies := json.NewDecoder(c)
	var greeting map[string]any
	if err := replies.Decode(&greeting); err != nil {
		return err
	}
	act := `{"execute":"device_del","arguments":{"id":"stick"}}`
	if in {
		act = `{"execute":"device_add","arguments":{"driver":"usb-storage","bus":"xhci.0","drive":"stick-node","id":"stick","removable":true}}`
	}
	for _, request := range []string{`{"execute":"qmp_capabilities"}`, act} {
		if _, err := io.WriteString(c, request); err != nil {
			return err
		}
		for {
			var reply map[string]any
			if err := replies.Decode(&reply); err != nil {
				return err
			}
			if reply["error"] != nil {
				return fmt.Errorf("QEMU: %v", reply["error"])
			}
			if reply["return"] != nil {
				break
			}
		}
	}
	return nil
}
