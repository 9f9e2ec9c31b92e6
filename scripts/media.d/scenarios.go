//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// scenarios runs all of them on each file system.
func (g *guest) scenarios() error {
	if o := create("/out"); o.code != 0 {
		return errors.New("making a bundle inside: " + o.short())
	}
	if o := do("bundle", append([]string{"create", bigRef(), "-o", "/big"}, creating()[4:]...)...); o.code != 0 {
		return errors.New("making a larger bundle inside: " + o.short())
	}
	for i, fs := range strings.Split(g.options["fs"], ",") {
		g.fs = fs
		image, err := os.ReadFile(g.disks[2+i])
		if err != nil {
			return err
		}
		g.image = trimZeros(image)
		for _, s := range []struct {
			name  string
			run   func() (string, error)
			brief string // file systems on which it is part of a brief run
		}{
			{"write, remount, verify", g.plain, "vfat exfat"},
			{"refusals: full, read-only, too large a volume", g.refusals, "vfat"},
			{"dropped writes", g.dropped, "vfat exfat"},
			{"fake capacity", g.fake, "vfat"},
			{"bad sectors", g.bad, "vfat"},
			{"bad sectors, mended on the way", g.mended, ""},
			{"gone while written to", g.goneWriting, ""},
			{"gone while read back", g.goneReading, ""},
			{"dropped writes from the middle on", g.droppedLater, ""},
			{"read-only in the middle", g.locked, ""},
			{"filled by another in the middle", g.filled, ""},
			{"power cut in create", func() (string, error) { return g.cuts(create, false) }, ""},
			{"power cut in create, writes reordered", func() (string, error) { return g.cuts(create, true) }, "vfat"},
			{"power cut in send", func() (string, error) { return g.cuts(sending, false) }, "vfat"},
			{"power cut in send, writes reordered", func() (string, error) { return g.cuts(sending, true) }, ""},
			{"power cut in sign", g.cutSign, "vfat"},
			{"unplugged", g.unplug, "vfat exfat"},
			{"more than 4 GiB", g.large, ""},
		} {
			if g.options["brief"] == "true" && !slices.Contains(strings.Fields(s.brief), fs) {
				continue
			}
			if !strings.Contains(s.name, strings.ReplaceAll(g.options["run"], "_", " ")) {
				continue
			}
			begun := time.Now()
			detail, err := s.run()
			if errors.Is(err, errNotHere) {
				continue
			}
			g.report(s.name, fmt.Sprintf("%s (%s)", detail, time.Since(begun).Round(100*time.Millisecond)), err)
			_ = unix.Unmount(mountPoint, unix.MNT_DETACH)
			if errors.Is(err, errKept) {
				fmt.Println("@@kept")
				return nil
			}
		}
	}
	return nil
}

var errNotHere = errors.New("not on this machine")

// fresh puts an empty file system on the scratch disk and mounts it.
func (g *guest) fresh() error {
	if err := restore(g.disks[0], g.image); err != nil {
		return err
	}
	return g.mount(g.disks[0], 0)
}

func sending(out string, _ ...string) outcome { return send(out) }

// plain writes a bundle and finds it whole after a remount.
func (g *guest) plain() (string, error) {
	if err := g.fresh(); err != nil {
		return "", err
	}
	for what, run := range map[string]func() outcome{
		"create": func() outcome { return create(mountPoint + "/create") },
		"send":   func() outcome { return send(mountPoint + "/send") },
	} {
		o := run()
		if o.code != 0 || !o.said(safe) {
			return "", fmt.Errorf("%s: %s", what, o.short())
		}
		if err := errors.Join(unmount(), g.mount(g.disks[0], 0)); err != nil {
			return "", err
		}
		if o := verify(mountPoint + "/" + what); o.code != 0 {
			return "", fmt.Errorf("verify after %s: %s", what, o.short())
		}
	}
	return "whole after a remount", unmount()
}

// refusals are told before anything is written.
func (g *guest) refusals() (string, error) {
	if err := g.fresh(); err != nil {
		return "", err
	}
	if g.fs == "vfat" {
		o := do("bundle", "create", ref(), "-o", usb, "--key", "/src/key", "--as", "ana", "--volume-size", "8GiB")
		if o.code == 0 || !o.said("(vfat)") || !o.said("file larger than the file system allows") {
			return "", fmt.Errorf("volumes of 8 GiB: %s", o.short())
		}
	}
	if err := fillUp(mountPoint+"/junk", 3<<20); err != nil {
		return "", err
	}
	for what, o := range map[string]outcome{"create": create(usb), "send": send(usb)} {
		if o.code == 0 || o.said(safe) || !o.said(" free") {
			return "", fmt.Errorf("%s to a full medium: %s", what, o.short())
		}
		if list, _ := filepath.Glob(usb + "/*.vol"); len(list) > 0 {
			return "", fmt.Errorf("%s to a full medium wrote %q", what, list)
		}
	}
	if err := errors.Join(unmount(), g.mount(g.disks[0], unix.MS_RDONLY)); err != nil {
		return "", err
	}
	for what, o := range map[string]outcome{"create": create(usb), "send": send(usb)} {
		if o.code == 0 || !o.said("read-only file system") || !o.said("("+g.fs+")") {
			return "", fmt.Errorf("%s to a read-only medium: %s", what, o.short())
		}
	}
	return "named, nothing written", unmount()
}

// fillUp writes a file until only so many bytes are free.
func fillUp(path string, leave int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &st); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	junk := make([]byte, 1<<20)
	for left := int64(st.Bavail)*st.Bsize - leave; left > 0; left -= int64(len(junk)) {
		if _, err := f.Write(junk); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}

// through returns the table of the scratch disk as it is.
func (g *guest) through() (target, error) {
	n, err := sectors(g.disks[0])
	return target{n, "linear", g.disks[0] + " 0"}, err
}

// on runs step with an empty file system on a mapped device, of which the
// scratch disk is all.
func (g *guest) on(step func(m *mapped, plain target) error) error {
	if err := restore(g.disks[0], g.image); err != nil {
		return err
	}
	plain, err := g.through()
	if err != nil {
		return err
	}
	m, err := newMapped("faulty", plain)
	if err != nil {
		return err
	}
	err = g.mount(m.path, 0)
	if err == nil {
		err = step(m, plain)
	}
	_ = unix.Unmount(mountPoint, unix.MNT_DETACH)
	for range 50 {
		if rerr := m.remove(); rerr == nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.Join(err, errors.New("the mapped device is still in use"))
}

// dropped has a medium that says yes to every write and keeps none.
func (g *guest) dropped() (string, error) {
	detail := ""
	for what, run := range map[string]func() outcome{"create": func() outcome { return create(usb) }, "send": func() outcome { return send(usb) }} {
		err := g.on(func(m *mapped, plain target) error {
			if err := m.load(target{plain.length, "flakey", plain.params + " 0 3600 1 drop_writes"}); err != nil {
				return err
			}
			o := run()
			detail = o.short()
			if o.code == 0 || o.said(safe) {
				return fmt.Errorf("%s: %s", what, o.short())
			}
			if err := errors.Join(unmount(), m.load(plain), g.mount(m.path, 0)); err != nil {
				return err
			}
			return g.completes(what, run)
		})
		if err != nil {
			return detail, err
		}
	}
	return detail, nil
}

// completes runs a command again on a medium that works now.
func (g *guest) completes(what string, run func() outcome) error {
	o := run()
	for range 2 { // what the medium has lost is found by one run and written by the next
		if o.code == 0 {
			break
		}
		if o.said("fsck.vfat") {
			if err := g.checked("/dev/dm-faulty"); err != nil {
				return err
			}
		}
		o = run()
	}
	if o.code != 0 || !o.said(safe) {
		return fmt.Errorf("%s again: %s", what, o.short())
	}
	if err := unmount(); err != nil {
		return err
	}
	if err := g.mount("/dev/dm-faulty", 0); err != nil {
		return err
	}
	if o := verify(usb); o.code != 0 {
		return fmt.Errorf("verify after %s again: %s", what, o.short())
	}
	return nil
}

// fakeSize is what a medium has that says it has four times as much: beyond
// it, it begins again.
const fakeSize = 16 << 20

func (g *guest) fake() (string, error) {
	image, err := os.ReadFile("/src/fake." + g.fs)
	if err != nil {
		return "", err
	}
	if err := restore(g.disks[0], image); err != nil {
		return "", err
	}
	part := target{fakeSize / 512, "linear", g.disks[0] + " 0"}
	m, err := newMapped("fake", part, part, part, part)
	if err != nil {
		return "", err
	}
	if err := g.mount(m.path, 0); err != nil {
		return "", err
	}
	o := do("bundle", "create", bigRef(), "-o", usb, "--key", "/src/key", "--as", "ana", "--quiet", "--volume-size", "2MiB", "--parity", "0")
	_ = unix.Unmount(mountPoint, unix.MNT_DETACH)
	time.Sleep(300 * time.Millisecond)
	if err := m.remove(); err != nil {
		time.Sleep(3 * time.Second)
		_ = m.remove()
	}
	if o.code == 0 || o.said(safe) || o.said("free, and") {
		return "", errors.New(o.short())
	}
	return o.short(), nil
}

// bad has sectors that cannot be written, and later some that cannot be read.
func (g *guest) bad() (string, error) {
	detail := ""
	err := g.on(func(m *mapped, plain target) error {
		const from, length = 6 << 20 / 512, 64
		hole := []target{
			{from, "linear", g.disks[0] + " 0"}, {length, "error", ""},
			{plain.length - from - length, "linear", fmt.Sprintf("%s %d", g.disks[0], from+length)},
		}
		if err := m.load(hole...); err != nil {
			return err
		}
		o := create(usb)
		detail = o.short()
		if o.code == 0 || o.said(safe) {
			return fmt.Errorf("writing: %s", o.short())
		}
		if err := errors.Join(unmount(), m.load(plain), g.mount(m.path, 0)); err != nil {
			return err
		}
		if err := g.completes("create", func() outcome { return create(usb) }); err != nil {
			return err
		}
		if err := m.load(hole...); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			return err
		}
		if o := verify(usb); o.code == 0 {
			return fmt.Errorf("verify of a bundle with bad sectors: %s", o.short())
		}
		return m.load(plain)
	})
	return detail, err
}
