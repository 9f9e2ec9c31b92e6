//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"airlock/internal/cli"
	"airlock/internal/e2e"
	"airlock/internal/realtest"
)

// untouched has a registry and a folder that no load of a damaged bundle may
// change, and checks in the end that none did.
type untouched struct {
	registry *realtest.RegistryServer
	folder   string
}

func newUntouched(t *testing.T) *untouched {
	t.Helper()
	u := &untouched{registry: realtest.Registry(t), folder: t.TempDir()}
	t.Cleanup(func() {
		if got := e2e.Catalog(t, u.registry.Addr); len(got) > 0 {
			t.Errorf("the registry has repositories now: %q", got)
		}
		for _, q := range u.registry.Requests() {
			if q.Method != "GET" && q.Method != "HEAD" {
				t.Errorf("the registry was asked to %s %s", q.Method, q.Path)
			}
		}
		if left, err := os.ReadDir(u.folder); err != nil || len(left) > 0 {
			t.Errorf("in the folder is now %v, %v", left, err)
		}
	})
	return u
}

// destinations are values for --to.
func (u *untouched) destinations() []string {
	return []string{"registry://" + u.registry.Addr + "/mirror", "oci:" + filepath.Join(u.folder, "far")}
}

// refuse checks that verify and every load refuse a bundle.
func (u *untouched) refuse(t *testing.T, b signedBundle, what, name string) {
	t.Helper()
	for turn := range 3 {
		u.refuseOne(t, b, turn, what, name)
	}
}

// refuseOne checks that a command refuses a bundle, names the file and gives
// the hint with both readings. The commands take turns.
func (u *untouched) refuseOne(t *testing.T, b signedBundle, turn int, what, name string) {
	t.Helper()
	args := []string{"verify", b.dir, "--trust", b.trust, "--quiet"}
	if turn %= 3; turn > 0 {
		args = append(args, "--to", u.destinations()[turn-1])
		args[0] = "load"
	}
	o := unbundle(t, args...)
	if o.code != cli.ExitRejected || o.stdout != "" || !strings.Contains(o.stderr, name) ||
		!strings.HasPrefix(o.stderr, "unbundle: error: ") || !strings.Contains(o.stderr, "\nunbundle: hint: either the copy was damaged ") {
		t.Errorf("%s: %s: exit code %d, output %q, want 3 and %q named", what, args[0], o.code, o.stdout+o.stderr, name)
	}
}

// TestEveryFlippedByte inverts one bit, and a whole byte, at every position of
// every file.
func TestEveryFlippedByte(t *testing.T) {
	u, b := newUntouched(t), newMaker(t).bundle(t, 300, 0)
	positions := 0
	for _, name := range b.files(t) {
		good := b.read(t, name)
		for i := range good {
			for _, mask := range []byte{1 << (i % 8), 0xff} {
				bad := bytes.Clone(good)
				bad[i] ^= mask
				b.write(t, name, bad)
				u.refuseOne(t, b, positions, fmt.Sprintf("%s, byte %d ^ %#x", name, i, mask), named(name))
			}
			positions++
		}
		b.write(t, name, good)
	}
	t.Logf("%d positions", positions)
	accept(t, b)
}

// TestEveryTruncation cuts every file at every length, and adds a byte.
func TestEveryTruncation(t *testing.T) {
	u, b := newUntouched(t), newMaker(t).bundle(t, 300, 0)
	for _, name := range b.files(t) {
		good := b.read(t, name)
		for n := range good {
			b.write(t, name, good[:n])
			u.refuseOne(t, b, n, fmt.Sprintf("%s of %d bytes", name, n), named(name))
		}
		for _, more := range []string{"\x00", "\n", " "} {
			b.write(t, name, append(bytes.Clone(good), more...))
			u.refuse(t, b, fmt.Sprintf("%s and %q", name, more), named(name))
		}
		b.write(t, name, good)
	}
	accept(t, b)
}

// named is what an error about the file has to say. That SHA256SUMS is not
// what was signed is said of its signature.
func named(file string) string {
	if file == "SHA256SUMS" {
		return "SHA256SUMS.ana.sig"
	}
	return file
}

// accept checks that the bundle itself is in order.
func accept(t *testing.T, b signedBundle) {
	t.Helper()
	if o := unbundle(t, "verify", b.dir, "--trust", b.trust); o.code != cli.ExitDone {
		t.Errorf("the whole bundle: exit code %d: %s", o.code, o.stderr)
	}
}

// TestMissingFile removes each file.
func TestMissingFile(t *testing.T) {
	u, b := newUntouched(t), newMaker(t).bundle(t, 300, 0)
	for _, name := range b.files(t) {
		good := b.read(t, name)
		must(t, os.Remove(filepath.Join(b.dir, name)))
		switch name {
		case "SHA256SUMS": // written last: without it there is no bundle yet
			for _, to := range u.destinations() {
				o := unbundle(t, "load", b.dir, "--trust", b.trust, "--to", to)
				if o.code != cli.ExitIncomplete || !strings.Contains(o.stderr, "no SHA256SUMS") {
					t.Errorf("without %s: exit code %d: %s", name, o.code, o.stderr)
				}
			}
		case "SHA256SUMS.ana.sig":
			u.refuse(t, b, "without "+name, "nobody has signed it")
		default:
			u.refuse(t, b, "without "+name, name)
		}
		b.write(t, name, good)
	}
	accept(t, b)
}

// TestVolumesMixedUp swaps and repeats volumes, and takes one of another bundle.
func TestVolumesMixedUp(t *testing.T) {
	u, m := newUntouched(t), newMaker(t)
	b, other := m.bundle(t, 3<<20, 1<<20), m.bundle(t, 3<<20, 1<<20)
	volumes := b.volumes(t)
	if len(volumes) < 4 {
		t.Fatalf("the bundle has the volumes %q", volumes)
	}
	for i, one := range volumes {
		for _, two := range volumes[:i] {
			first, second := b.read(t, one), b.read(t, two)
			b.write(t, one, second)
			u.refuse(t, b, two+" in the place of "+one, one)
			b.write(t, two, first)
			u.refuse(t, b, one+" and "+two+" swapped", one)
			u.refuse(t, b, one+" and "+two+" swapped", two)
			b.write(t, one, first)
			u.refuse(t, b, one+" in the place of "+two, two)
			b.write(t, two, second)
		}
		good := b.read(t, one)
		b.write(t, one, other.read(t, one))
		u.refuse(t, b, one+" of another bundle", one)
		b.write(t, one, good)
	}
	accept(t, b)
}

// TestMixedTexts takes each file around the volumes from another bundle that
// the same person signed.
func TestMixedTexts(t *testing.T) {
	u, m := newUntouched(t), newMaker(t)
	b, other := m.bundle(t, 300, 0), m.bundle(t, 300, 0)
	for _, name := range b.files(t) {
		good, foreign := b.read(t, name), other.read(t, name)
		if bytes.Equal(good, foreign) {
			t.Fatalf("%s is the same in both bundles", name)
		}
		b.write(t, name, foreign)
		u.refuse(t, b, "another bundle's "+name, named(name))
		b.write(t, name, good)
	}
	// With the other's texts and signature, it is the volumes that differ.
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.ana.sig", "manifest.json", "blocks.bin", "README.txt"} {
		b.write(t, name, other.read(t, name))
	}
	u.refuse(t, b, "all texts of another bundle", b.volumes(t)[0])
}

// TestFlippedBytesOfATar damages a tar file. What surrounds the files in it is
// not signed, so some of it may differ; but what is accepted is the bundle
// that was signed, and what is not names no way round.
func TestFlippedBytesOfATar(t *testing.T) {
	b := newMaker(t).bundle(t, 300, 0)
	path := filepath.Join(t.TempDir(), "bundle.tar")
	if out, err := exec.Command("tar", "-C", b.dir, "-cf", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	good, err := os.ReadFile(path)
	must(t, err)
	whole := unbundle(t, "verify", path, "--trust", b.trust)
	if whole.code != cli.ExitDone {
		t.Fatalf("exit code %d: %s", whole.code, whole.stderr)
	}
	refused := 0
	for i := range good {
		if good[i] == 0 && i%16 != 0 { // most of a tar is padding
			continue
		}
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		must(t, os.WriteFile(path, bad, 0o644))
		o := unbundle(t, "verify", path, "--trust", b.trust)
		switch o.code {
		case cli.ExitDone:
			if o.stdout != whole.stdout {
				t.Errorf("byte %d: accepted as something else: %s", i, o.stdout)
			}
		case cli.ExitRejected, cli.ExitIncomplete, cli.ExitFailed:
			refused++
			if !strings.HasPrefix(o.stderr, "unbundle: error: ") {
				t.Errorf("byte %d: printed %q", i, o.stderr)
			}
		default:
			t.Errorf("byte %d: exit code %d: %s", i, o.code, o.stderr)
		}
	}
	if total := len(b.read(t, "manifest.json")); refused < total {
		t.Errorf("only %d flipped bytes were refused; manifest.json alone has %d", refused, total)
	}
	for n := 0; n < len(good)-10240; n += 256 {
		must(t, os.WriteFile(path, good[:n], 0o644))
		if o := unbundle(t, "verify", path, "--trust", b.trust); o.code == cli.ExitDone {
			t.Errorf("a tar cut to %d bytes of %d is accepted", n, len(good))
		}
	}
}
