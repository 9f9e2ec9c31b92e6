//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"airlock/internal/bulk"
)

// What FAT32 and the large scenario have to do with each other: a file has at
// most fatFile bytes, and the bundle has more.
const (
	fatFile    = 1<<32 - 1
	largeLayer = 2150 << 20 // of two
	largeDisk  = 5 << 30
	largeMost  = 30 * time.Minute // for one command on it
)

// largeDisks makes the two disks of the large scenario: an ext4 with a bundle
// of more than 4 GiB and room to load it, and an empty FAT32. The ext4 has a
// second bundle, of one volume that no FAT32 takes: a hole, as nobody should
// come to read it.
func (h *host) largeDisks(ctx context.Context) ([]string, error) {
	folder := filepath.Join(h.dir, "large")
	digest, err := bulk.Write(filepath.Join(folder, "layout"), 11, largeLayer, largeLayer)
	if err != nil {
		return nil, err
	}
	for name, more := range map[string][]string{"wide": {"--volume-size", "8GiB"}, "bundle": nil} {
		out := filepath.Join(folder, name)
		args := append([]string{"create", "-q", "oci:" + filepath.Join(folder, "layout") + ":" + bulk.Name + "@" + digest,
			"-o", out, "--key", filepath.Join(h.dir, "src", "key"), "--as", "ana", "--pack", "fast", "--parity", "0"}, more...)
		if text, err := exec.CommandContext(ctx, filepath.Join(h.bin, "bundle"), args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("making a large bundle: %w: %s", err, text)
		}
		if name == "wide" {
			if err := hollow(out); err != nil {
				return nil, err
			}
		}
	}
	if err := os.RemoveAll(filepath.Join(folder, "layout")); err != nil {
		return nil, err
	}
	source, fat := filepath.Join(h.dir, "source.img"), filepath.Join(h.dir, "large.img")
	for path, size := range map[string]int64{source: 2*largeDisk + 1<<30, fat: largeDisk} {
		if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, size)); err != nil {
			return nil, err
		}
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", "-d", folder, source}, {"mkfs.vfat", "-F", "32", fat}} {
		if text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", args[0], err, text)
		}
	}
	return []string{source, fat}, os.RemoveAll(folder)
}

// hollow makes a hole of a bundle's only volume.
func hollow(bundle string) error {
	volumes, err := filepath.Glob(filepath.Join(bundle, "*.vol"))
	if err != nil || len(volumes) != 1 {
		return fmt.Errorf("volumes %q, want one: %w", volumes, err)
	}
	info, err := os.Stat(volumes[0])
	if err != nil {
		return err
	}
	if info.Size() <= fatFile {
		return fmt.Errorf("%s has %d bytes, want more than %d", volumes[0], info.Size(), int64(fatFile))
	}
	return errors.Join(os.Truncate(volumes[0], 0), os.Truncate(volumes[0], info.Size()))
}

const largeSource = "/large"

// large sends a bundle of more than 4 GiB to a FAT32, verifies it there and
// loads it from there; one whose volume FAT32 does not take is refused. The
// first attempt ends beyond 4 GiB, where the stick goes.
func (g *guest) large() (string, error) {
	if g.options["large"] != "true" || g.fs != "vfat" {
		return "", errNotHere
	}
	disks := g.disks[len(g.disks)-2:]
	if err := os.MkdirAll(largeSource, 0o755); err != nil {
		return "", err
	}
	if err := unix.Mount(disks[0], largeSource, "ext4", 0, ""); err != nil {
		return "", fmt.Errorf("mounting the large bundle: %w", err)
	}
	defer unix.Unmount(largeSource, unix.MNT_DETACH)
	n, err := sectors(disks[1])
	if err != nil {
		return "", err
	}
	plain := target{n, "linear", disks[1] + " 0"}
	m, err := newMapped("large", plain)
	if err != nil {
		return "", err
	}
	if err := g.mount(m.path, 0); err != nil {
		return "", err
	}
	for _, step := range []struct {
		name string
		run  func(*mapped, target) (string, error)
	}{
		{"a volume that is too large", g.largeRefused},
		{"gone beyond 4 GiB", g.largeGone},
		{"send once more", g.largeSent},
		{"verify", func(*mapped, target) (string, error) { return "", largeRead("verify", usb) }},
		{"load", func(*mapped, target) (string, error) {
			return "", largeRead("load", usb, "--to", "oci:"+largeSource+"/out")
		}},
	} {
		begun := time.Now()
		detail, err := step.run(m, plain)
		if err != nil {
			return detail, fmt.Errorf("%s: %w", step.name, err)
		}
		g.report("more than 4 GiB, "+step.name, fmt.Sprintf("%s (%s)", detail, time.Since(begun).Round(time.Second)), nil)
	}
	return "refused, cut, sent, verified and loaded", errors.Join(unmount(), m.remove())
}

func (g *guest) largeRefused(*mapped, target) (string, error) {
	refused := do("bundle", "send", largeSource+"/wide", usb, "--quiet")
	for _, said := range []string{"(vfat)", ".000.vol has ", fmt.Sprintf("at most %d\n", int64(fatFile)), "hint: ", "--media fat32"} {
		if refused.code == 0 || !refused.said(said) {
			return "", fmt.Errorf("want %q: %s", said, refused.text)
		}
	}
	if left, _ := filepath.Glob(usb + "/*"); len(left) > 0 {
		return "", fmt.Errorf("%q was written", left)
	}
	return refused.short(), nil
}

// largeGone has the stick go when the second volume, which begins at 4092 MiB,
// has some bytes.
func (g *guest) largeGone(m *mapped, plain target) (string, error) {
	cmd, out, stop := command(largeMost, "bundle", "send", largeSource+"/bundle", usb, "--quiet")
	defer stop()
	if err := cmd.Start(); err != nil {
		return "", err
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	for done := false; !done; {
		select {
		case err := <-end:
			return "", fmt.Errorf("it ended first: %s", ended(cmd, out, err).short())
		case <-time.After(20 * time.Millisecond):
		}
		sizes, _ := largeSizes(usb)
		done = len(sizes) == 2 && sizes[1] > 32<<20
	}
	if err := gone(m, plain); err != nil {
		return "", err
	}
	o := ended(cmd, out, <-end)
	if o.code == 0 || o.said(safe) {
		return "", errors.New(o.short())
	}
	return o.short(), g.remounted(m, plain)
}

func (g *guest) largeSent(m *mapped, _ target) (string, error) {
	if o := doFor(largeMost, "bundle", "send", largeSource+"/bundle", usb, "--quiet"); o.code != 0 || !o.said(safe) {
		return "", errors.New(o.short())
	}
	if err := errors.Join(unmount(), g.mount(m.path, unix.MS_RDONLY)); err != nil {
		return "", err
	}
	sizes, err := largeSizes(usb)
	return fmt.Sprintf("volumes of %d bytes", sizes), err
}

func largeRead(args ...string) error {
	if o := doFor(largeMost, "unbundle", append(args, "--trust", "/src/allowed_signers", "--quiet")...); o.code != 0 {
		return errors.New(o.short())
	}
	return nil
}

// largeSizes returns the sizes of a bundle's volumes, of which FAT32 takes each
// and not all in one.
func largeSizes(bundle string) (sizes []int64, err error) {
	volumes, err := filepath.Glob(bundle + "/*.vol")
	if err != nil {
		return nil, err
	}
	sum := int64(0)
	for _, path := range volumes {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, info.Size())
		sum += info.Size()
		if info.Size() > fatFile {
			return sizes, fmt.Errorf("%s is larger than FAT32 allows", path)
		}
	}
	if sum <= fatFile {
		return sizes, errors.New("all volumes together are not larger than FAT32 allows for one")
	}
	return sizes, nil
}
