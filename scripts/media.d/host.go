//go:build linux

package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"airlock/internal/bulk"
)

// prepare makes what goes into every machine: images, keys, Linux for QEMU.
func (h *host) prepare(ctx context.Context) error {
	src := filepath.Join(h.dir, "src")
	for name, layers := range map[string][]int64{"": {3 << 20, 4<<20 + 12345}, "big": {21 << 20}} {
		digest, err := bulk.Write(filepath.Join(src, name+"layout"), 7, layers...)
		if err != nil {
			return err
		}
		ref := "oci:/src/" + name + "layout:" + bulk.Name + "@" + digest
		if err := os.WriteFile(filepath.Join(src, name+"ref"), []byte(ref), 0o644); err != nil {
			return err
		}
	}
	var signers strings.Builder
	for name, file := range map[string]string{"ana": "key", "bo": "bo"} {
		cmd := exec.CommandContext(ctx, filepath.Join(h.bin, "bundle"), "keygen", "--as", name, "--key", filepath.Join(src, file))
		line, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("making a key: %w", err)
		}
		signers.Write(line)
	}
	if err := os.WriteFile(filepath.Join(src, "allowed_signers"), []byte(signers.String()), 0o644); err != nil {
		return err
	}
	for _, fs := range []string{"vfat", "exfat"} {
		// What says that it has four times as much, of which the beginning is real.
		image, err := h.format(fs, 4*fakeSize)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(src, "fake."+fs), image[:fakeSize], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// scratchSize is the smallest that FAT32 can have, and some more.
const scratchSize = 40 << 20

// format returns an empty file system of that size.
func (h *host) format(fs string, size int64) ([]byte, error) {
	path := filepath.Join(h.dir, "new."+fs)
	if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, size)); err != nil {
		return nil, err
	}
	args := map[string][]string{"vfat": {"mkfs.vfat", "-F", "32", "-s", "1", path}, "exfat": {"mkfs.exfat", path}}[fs]
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", args[0], err, out)
	}
	return os.ReadFile(path)
}

// disks makes a machine's disks: one to play with, one to record writes on, and
// an empty file system of each kind; and the stick that can be pulled out.
func (h *host) disks(m machine) ([]string, error) {
	var all []string
	for name, size := range map[string]int64{"scratch": scratchSize, "log": 256 << 20, "stick": scratchSize} {
		path := filepath.Join(h.dir, name+".img")
		if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, size)); err != nil {
			return nil, err
		}
	}
	all = append(all, filepath.Join(h.dir, "scratch.img"), filepath.Join(h.dir, "log.img"))
	for _, fs := range m.fs {
		image, err := h.format(fs, scratchSize)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(h.dir, fs+".img")
		if err := os.WriteFile(path, image, 0o644); err != nil {
			return nil, err
		}
		all = append(all, path)
	}
	return all, nil
}

// initrdOf packs the first file system of a kind of machine.
func (h *host) initrdOf(m machine) (string, error) {
	modules, err := h.modules(m)
	if err != nil {
		return "", err
	}
	name := filepath.Join(h.dir, "initrd."+m.name)
	r, err := newInitrd(name)
	if err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "root", "media"} {
		err = errors.Join(err, r.folder(dir))
	}
	err = errors.Join(err, r.copy("init", self), r.copy("src", filepath.Join(h.dir, "src")))
	for _, program := range []string{"bundle", "unbundle"} {
		err = errors.Join(err, r.copy("bin/"+program, filepath.Join(h.bin, program)))
	}
	for _, fs := range m.fs {
		err = errors.Join(err, r.program("fsck."+fs))
	}
	for i, path := range modules {
		err = errors.Join(err, r.copy(fmt.Sprintf("modules/%02d-%s", i, filepath.Base(path)), path))
	}
	return name, errors.Join(err, r.close())
}

// modules finds the files of a machine's modules. One that its kernel has
// built in is none.
func (h *host) modules(m machine) ([]string, error) {
	if len(m.modules) == 0 {
		return nil, nil
	}
	root := filepath.Join(h.cache, "kernel", "lib", "modules")
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			found[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil, missingError("there are no kernel modules in " + root)
	}
	var all []string
	for _, name := range m.modules {
		all = append(all, withNeeded(found, strings.ReplaceAll(name, "-", "_"))...)
	}
	all = unique(all)
	for _, fs := range m.fs {
		if found[fs] == "" {
			return nil, missingError("the kernel's modules in " + root + " have no " + fs)
		}
	}
	return all, err
}

// withNeeded returns a module's file behind those that it needs. A module that
// the kernel has built in has none.
func withNeeded(found map[string]string, name string) []string {
	path := found[name]
	if path == "" {
		return nil
	}
	var all []string
	for _, needed := range needs(path) {
		all = append(all, withNeeded(found, needed)...)
	}
	return append(all, path)
}

// needs returns what a module says it depends on (modinfo(8)).
func needs(path string) []string {
	f, err := elf.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil
	}
	data, err := section.Data()
	if err != nil {
		return nil
	}
	for _, entry := range strings.Split(string(data), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ",")
		}
	}
	return nil
}

func unique(all []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(s string) bool { was := seen[s]; seen[s] = true; return was })
}
