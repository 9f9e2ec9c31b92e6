//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// creating are the arguments that make a bundle of eleven volumes.
func creating() []string {
	return []string{"create", bigRef(), "-o", usb, "--key", "/src/key", "--as", "ana", "--quiet",
		"--created", "2026-01-02T03:04:05Z", "--volume-size", "2MiB", "--parity", "0"}
}

// during runs bundle, acts when a file is there, and waits for the end.
func during(file string, act func() error, args ...string) (outcome, error) {
	cmd, out, stop := command(commandMax, "bundle", args...)
	defer stop()
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		select {
		case err := <-end:
			return outcome{}, fmt.Errorf("it ended before there was %s: %s", file, ended(cmd, out, err).short())
		case <-time.After(time.Millisecond):
		}
	}
	acted := act()
	err := <-end
	return ended(cmd, out, err), acted
}

// slowly is a device's table with which each read and each write takes so many
// milliseconds.
func slowly(plain target, read, write int) target {
	return target{plain.length, "delay", fmt.Sprintf("%s %d %s %d", plain.params, read, plain.params, write)}
}

// middle has something happen to the medium while create and send write to it,
// which must not say that it is safe then; with undo the same command
// completes. said is what the first of them has to say.
func (g *guest) middle(file string, read int, act, undo func(m *mapped, plain target) error, said string) (string, error) {
	detail := ""
	for _, what := range []string{"create", "send"} {
		args := creating()
		if what == "send" {
			args = []string{"send", "/big", usb, "--quiet"}
		}
		err := g.on(func(m *mapped, plain target) error {
			if err := m.load(slowly(plain, read, 30)); err != nil {
				return err
			}
			o, err := during(filepath.Join(usb, file), func() error { return act(m, plain) }, args...)
			if err != nil {
				return fmt.Errorf("%s: %w: %s", what, err, o.short())
			}
			detail = o.short()
			if o.code == 0 || o.said(safe) || !o.said(said) {
				return fmt.Errorf("%s: %s", what, o.short())
			}
			if err := undo(m, plain); err != nil {
				return err
			}
			return g.completes(what, func() outcome { return again(args) })
		})
		if err != nil {
			return detail, err
		}
	}
	return detail, nil
}

// again runs bundle again. What create has written whole, and not read back,
// it leaves as it is, for verify to judge; send reads it back.
func again(args []string) outcome {
	o := do("bundle", args...)
	if args[0] == "create" && o.said("holds a bundle already") {
		o = do("bundle", "send", "/big", usb, "--quiet")
	}
	return o
}

// remounted puts a medium in again that works: another device to the kernel,
// which knows nothing of the old one's files.
func (g *guest) remounted(m *mapped, plain target) error {
	_ = unix.Unmount(mountPoint, unix.MNT_DETACH)
	var err error
	for range 50 { // while the old file system is being taken down
		if err = m.remove(); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	if _, err := newMapped(m.name, plain); err != nil {
		return err
	}
	return g.mount(m.path, 0)
}

// gone has every read and write fail, as those of a stick that was pulled out,
// and the desktop unmount it.
func gone(m *mapped, plain target) error {
	if err := m.load(target{plain.length, "error", ""}); err != nil {
		return err
	}
	return unix.Unmount(mountPoint, unix.MNT_DETACH)
}

// bare finds the folder empty that a medium was mounted on, puts the medium in
// again, and is refused by the empty folder before.
func (g *guest) bare(m *mapped, plain target) error {
	list, err := os.ReadDir(mountPoint)
	if err != nil || len(list) > 0 {
		return fmt.Errorf("on the empty mount point there is %v: %w", list, err)
	}
	for what, o := range map[string]outcome{
		"create": do("bundle", creating()...), "send": do("bundle", "send", "/big", usb, "--quiet"),
		"receive": do("unbundle", "receive", "/big", usb, "--quiet", "--trust", "/src/allowed_signers"),
	} {
		if o.code == 0 || !o.said("no medium is mounted there") {
			return fmt.Errorf("%s onto the empty mount point: %s", what, o.short())
		}
	}
	return g.remounted(m, plain)
}

func (g *guest) goneWriting() (string, error) {
	return g.middle("bulk-1.003.vol", 0, gone, g.bare, "")
}

// goneReading has the stick go when everything is written and is being read back.
func (g *guest) goneReading() (string, error) {
	return g.middle("SHA256SUMS", 150, func(m *mapped, plain target) error {
		time.Sleep(700 * time.Millisecond) // in which SHA256SUMS is made durable
		return gone(m, plain)
	}, g.bare, "")
}

// droppedLater has a medium keep no write any more in the middle.
func (g *guest) droppedLater() (string, error) {
	return g.middle("bulk-1.003.vol", 0, func(m *mapped, plain target) error {
		return m.load(target{plain.length, "flakey", plain.params + " 0 3600 1 drop_writes"})
	}, g.remounted, "")
}

// locked has the file system become read-only, as the kernel makes it when it
// finds fault with it or an administrator by remounting.
func (g *guest) locked() (string, error) {
	return g.middle("bulk-1.003.vol", 0, func(*mapped, target) error {
		return os.WriteFile("/proc/sysrq-trigger", []byte("u"), 0)
	}, func(*mapped, target) error {
		return unix.Mount("", mountPoint, "", unix.MS_REMOUNT, "")
	}, "read-only file system")
}

// filled has another program take the room.
func (g *guest) filled() (string, error) {
	junk := filepath.Join(mountPoint, "junk")
	return g.middle("bulk-1.003.vol", 0, func(*mapped, target) error {
		if err := fillUp(junk, 0); err != nil && !errors.Is(err, unix.ENOSPC) {
			return err
		}
		return nil
	}, func(*mapped, target) error { return os.Remove(junk) }, "no space left")
}

// mended has sectors that cannot be read, of a bundle with parity: it is taken
// in as it is.
func (g *guest) mended() (string, error) {
	detail := ""
	err := g.on(func(m *mapped, plain target) error {
		if o := create(usb, "--parity", "30%"); o.code != 0 {
			return errors.New(o.short())
		}
		at, err := g.where(usb+"/bulk-1.001.vol", 1<<20)
		if err != nil {
			return err
		}
		const length = 24
		if err := m.load(
			target{at, "linear", g.disks[0] + " 0"}, target{length, "error", ""},
			target{plain.length - at - length, "linear", fmt.Sprintf("%s %d", g.disks[0], at+length)},
		); err != nil {
			return err
		}
		var all []string
		for _, args := range [][]string{
			{"load", usb, "--to", "oci:/tmp/mended-" + g.fs}, {"receive", usb, "/tmp/received-" + g.fs}, {"repair", usb, "-o", "/tmp/repaired-" + g.fs},
		} {
			if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
				return err
			}
			o := do("unbundle", append(args, "--trust", "/src/allowed_signers", "--quiet")...)
			if o.code != 0 {
				return fmt.Errorf("%s: %s", args[0], o.short())
			}
			all = append(all, args[0])
		}
		for _, copy := range []string{"/tmp/received-" + g.fs, "/tmp/repaired-" + g.fs} {
			if o := verify(copy); o.code != 0 {
				return fmt.Errorf("verify of %s: %s", copy, o.short())
			}
		}
		o := verify(usb)
		detail = fmt.Sprintf("whole by %q; verify there: %s", all, o.short())
		if o.code == 0 {
			return fmt.Errorf("verify of a bundle with bad sectors: %s", o.short())
		}
		return m.load(plain)
	})
	return detail, errors.Join(err, os.RemoveAll("/tmp/received-"+g.fs), os.RemoveAll("/tmp/repaired-"+g.fs), os.RemoveAll("/tmp/mended-"+g.fs))
}

// where returns the first sector of what a file has at an offset, a multiple of
// a cluster, by looking for it on the medium.
func (g *guest) where(path string, offset int64) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	want := make([]byte, 512)
	if _, err := f.ReadAt(want, offset); err != nil {
		return 0, err
	}
	medium, err := os.ReadFile(g.disks[0])
	if err != nil {
		return 0, err
	}
	for at := 0; at < len(medium); at += len(want) {
		if string(medium[at:at+len(want)]) == string(want) {
			return uint64(at / 512), nil
		}
	}
	return 0, fmt.Errorf("%s is not on the medium", path)
}
