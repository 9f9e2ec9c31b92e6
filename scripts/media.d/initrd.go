//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// initrd writes an archive that Linux unpacks as its first file system: cpio's
// "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst).
type initrd struct {
	w     *bufio.Writer
	f     *os.File
	at    int64
	dirs  map[string]bool
	files map[string]bool // libraries
	node  int
}

func newInitrd(name string) (*initrd, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	return &initrd{w: bufio.NewWriterSize(f, 1<<20), f: f, dirs: map[string]bool{".": true}, files: map[string]bool{}}, nil
}

// folder adds a folder, and those above it.
func (r *initrd) folder(name string) error {
	if r.dirs[name] {
		return nil
	}
	r.dirs[name] = true
	if err := r.folder(path.Dir(name)); err != nil {
		return err
	}
	return r.entry(name, 0o040755, nil)
}

// file adds a file.
func (r *initrd) file(name string, mode uint32, data []byte) error {
	if err := r.folder(path.Dir(name)); err != nil {
		return err
	}
	return r.entry(name, 0o100000|mode, data)
}

// copy adds a file of this machine, or all files of a folder.
func (r *initrd) copy(name, from string) error {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		return r.file(path.Join(name, rest), uint32(info.Mode().Perm()), data)
	})
}

// program adds a program of this machine with the libraries that it needs.
func (r *initrd) program(name string) error {
	from, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	list, err := exec.Command("ldd", from).Output()
	if err != nil {
		return fmt.Errorf("ldd %s: %w", from, err)
	}
	for _, word := range strings.Fields(string(list)) {
		if strings.HasPrefix(word, "/") && !r.files[word] {
			r.files[word] = true
			if err := r.copy(strings.TrimPrefix(word, "/"), word); err != nil {
				return err
			}
		}
	}
	return r.copy("bin/"+name, from)
}

func (r *initrd) entry(name string, mode uint32, data []byte) error {
	r.node++
	if name == "TRAILER!!!" {
		r.node = 0
	}
	head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		r.node, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	return errors.Join(r.padded([]byte(head)), r.padded(data))
}

func (r *initrd) padded(b []byte) error {
	n, err := r.w.Write(b)
	if r.at += int64(n); err == nil && r.at%4 > 0 {
		n, err = r.w.WriteString(strings.Repeat("\x00", int(4-r.at%4)))
		r.at += int64(n)
	}
	return err
}

func (r *initrd) close() error {
	return errors.Join(r.entry("TRAILER!!!", 0, nil), r.w.Flush(), r.f.Close())
}
