package archive_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"airlock/internal/archive"
	"airlock/internal/delta"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/trust"
	"airlock/internal/volume"
)

const (
	vectorDir   = "testdata/vectors"
	vectorMagic = "airlock test vector\n"
)

// vector is a bundle and what a reader says of it. Its file lists the bundle's
// files as they differ from the golden bundle's.
type vector struct {
	name   string
	expect string // ok, incomplete, or the layer that refuses
	says   string // what the error says; it names the file that is at fault
	why    string
	files  map[string][]byte
}

// marshal writes a vector: a header of text, an empty line, and then each file
// as "-- NAME SIZE" with its bytes, "-- NAME SIZE of HH" if all bytes are one,
// "-- NAME SIZE zeros from N" with the bytes before N, or "-- NAME removed".
func (v *vector) marshal(golden map[string][]byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%sexpect: %s\nsays: %s\nwhy: %s\n\n", vectorMagic, v.expect, v.says, v.why)
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		data := v.files[name]
		if old, ok := golden[name]; ok && bytes.Equal(old, data) {
			continue
		}
		if len(data) > 4096 && bytes.Count(data, data[:1]) == len(data) {
			fmt.Fprintf(&b, "-- %s %d of %02x\n", name, len(data), data[0])
			continue
		}
		if begin := bytes.TrimRight(data, "\x00"); len(data)-len(begin) > 4096 {
			fmt.Fprintf(&b, "-- %s %d zeros from %d\n%s\n", name, len(data), len(begin), begin)
			continue
		}
		fmt.Fprintf(&b, "-- %s %d\n%s\n", name, len(data), data)
	}
	for _, name := range slices.Sorted(maps.Keys(golden)) {
		if _, ok := v.files[name]; !ok {
			fmt.Fprintf(&b, "-- %s removed\n", name)
		}
	}
	return b.Bytes()
}

// parseVector reads what marshal writes.
func parseVector(raw []byte, golden map[string][]byte) (*vector, error) {
	header, rest, ok := strings.Cut(string(raw), "\n\n")
	if !ok {
		header, rest = strings.TrimSuffix(string(raw), "\n"), ""
	}
	lines := strings.Split(header, "\n")
	if len(lines) != 4 || lines[0]+"\n" != vectorMagic {
		return nil, errors.New("not a vector")
	}
	v := &vector{files: maps.Clone(golden)}
	for i, field := range []struct {
		key string
		to  *string
	}{{"expect: ", &v.expect}, {"says: ", &v.says}, {"why: ", &v.why}} {
		if *field.to, ok = strings.CutPrefix(lines[i+1], field.key); !ok {
			return nil, fmt.Errorf("line %q, want %q", lines[i+1], field.key)
		}
	}
	for rest != "" {
		line, after, _ := strings.Cut(rest, "\n")
		words := strings.Split(line, " ")
		if len(words) < 3 || words[0] != "--" {
			return nil, fmt.Errorf("line %q", line)
		}
		if words[2] == "removed" {
			delete(v.files, words[1])
			rest = after
			continue
		}
		size, err := strconv.Atoi(words[2])
		if err != nil {
			return nil, err
		}
		if len(words) == 5 {
			fill, err := strconv.ParseUint(words[4], 16, 8)
			if err != nil {
				return nil, err
			}
			v.files[words[1]] = bytes.Repeat([]byte{byte(fill)}, size)
			rest = after
			continue
		}
		if len(words) == 6 {
			begin, err := strconv.Atoi(words[5])
			if err != nil {
				return nil, err
			}
			v.files[words[1]] = append([]byte(after[:begin]), make([]byte, size-begin)...)
			rest = after[begin+1:]
			continue
		}
		v.files[words[1]] = []byte(after[:size])
		rest = after[size+1:]
	}
	return v, nil
}

// readVectors reads all vectors of the repository.
func readVectors(t testing.TB) []*vector {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(vectorDir, "*"))
	must(t, err)
	if len(paths) < 100 {
		t.Fatalf("%d vectors in %s", len(paths), vectorDir)
	}
	golden := goldenFiles(t)
	var all []*vector
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		must(t, err)
		v, err := parseVector(raw, golden)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		v.name = filepath.Base(path)
		all = append(all, v)
	}
	return all
}

// TestVectors makes every vector again, and holds that each is refused by the
// layer that it says, for the reason that it says, or not at all.
func TestVectors(t *testing.T) {
	golden := goldenFiles(t)
	made := map[string][]byte{}
	for _, m := range makers() {
		if _, twice := made[m.name]; twice {
			t.Fatalf("two vectors are named %s", m.name)
		}
		k := newKit(t)
		m.bend(t, k)
		v := vector{expect: m.expect, says: m.says, why: m.why, files: k.make(t)}
		made[m.name] = v.marshal(golden)
	}
	if *update {
		must(t, os.RemoveAll(vectorDir))
		must(t, os.MkdirAll(vectorDir, 0o755))
		for name, raw := range made {
			must(t, os.WriteFile(filepath.Join(vectorDir, name), raw, 0o644))
		}
	}
	for _, v := range readVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join(vectorDir, v.name))
			must(t, err)
			if want, ok := made[v.name]; !ok || !bytes.Equal(raw, want) {
				t.Errorf("the vector is not what its maker makes; run go test -run TestVectors -update")
			}
			delete(made, v.name)
			v.check(t)
		})
	}
	for name := range made {
		t.Errorf("vector %s is missing; run go test -run TestVectors -update", name)
	}
}

// layers says how each layer's refusal is recognised.
var layers = map[string]func(error) bool{
	"ok":         func(err error) bool { return err == nil },
	"incomplete": func(err error) bool { return errors.Is(err, manifest.ErrIncomplete) },
	"signature":  isSignature,
	"sums": func(err error) bool {
		return errors.Is(err, manifest.ErrRejected) && !isSignature(err) && !isManifest(err)
	},
	"manifest": isManifest,
	"volume":   func(err error) bool { return errors.Is(err, volume.ErrDamaged) && !isMended(err) },
	"mended":   isMended,
	"index": func(err error) bool {
		return errors.Is(err, archive.ErrMalformed) && strings.Contains(err.Error(), "index")
	},
	"frame": func(err error) bool {
		return (errors.Is(err, archive.ErrMalformed) || errors.Is(err, delta.ErrMalformed)) && !strings.Contains(err.Error(), "index")
	},
	"base":    func(err error) bool { return errors.Is(err, archive.ErrBase) },
	"content": func(err error) bool { return errors.Is(err, archive.ErrMismatch) },
	"release": func(err error) bool { return errors.Is(err, load.ErrRejected) || errors.Is(err, oci.ErrMalformed) },
}

func isSignature(err error) bool {
	return errors.Is(err, trust.ErrRejected) ||
		errors.Is(err, manifest.ErrRejected) && strings.Contains(err.Error(), "sig") && !strings.Contains(err.Error(), "SHA256SUMS line")
}

// isMended reports whether there is damage, and parity mends all of it.
func isMended(err error) bool {
	damage := (*volume.Damage)(nil)
	return errors.As(err, &damage) && damage.Mendable()
}

func isManifest(err error) bool {
	return errors.Is(err, manifest.ErrRejected) && (strings.HasPrefix(err.Error(), "manifest.json: ") || strings.Contains(err.Error(), "expired on"))
}

func (v *vector) check(t *testing.T) {
	is, known := layers[v.expect]
	if !known {
		t.Fatalf("expects %q", v.expect)
	}
	err := readAll(t, v.files)
	if !is(err) {
		t.Fatalf("got %v, want a refusal by layer %s: %s", err, v.expect, v.why)
	}
	for layer, other := range layers {
		if layer != v.expect && other(err) {
			t.Errorf("%v: could be of layer %s as well", err, layer)
		}
	}
	if err != nil && (v.says == "" || !strings.Contains(err.Error(), v.says)) {
		t.Errorf("%v: does not say %q", err, v.says)
	}
}

// readAll reads a bundle as far as it goes: its texts and index, every byte of
// every volume, every blob, every document. Whatever blob it is given whole
// must have its digest, even from a bundle that is refused.
func readAll(t testing.TB, files map[string][]byte) error {
	t.Helper()
	blobs, err := archive.Open(mapFS(files), testAllowed(t), goldenTime)
	if err != nil {
		return err
	}
	defer blobs.Close()
	verifyErr := blobs.Verify(t.Context(), progress.Discard)
	readErr := readBlobs(t, blobs, verifyErr)
	if err := cmp.Or(verifyErr, readErr); err != nil && !isMended(err) {
		return err
	}
	if readErr != nil {
		t.Errorf("what can be mended is not: %v", readErr)
	}
	if _, err = load.NewRelease(t.Context(), blobs); err != nil {
		return err
	}
	return verifyErr
}

// readBlobs reads every blob. What is wrong with one that is no gzip blob,
// which Verify does not rebuild, must have been found by Verify.
func readBlobs(t testing.TB, blobs *archive.Reader, verifyErr error) error {
	t.Helper()
	var all []error
	for _, p := range blobs.Packings() {
		r, err := blobs.Open(p.Digest)
		must(t, err)
		got, err := io.ReadAll(r)
		r.Close()
		switch {
		case err != nil:
			all = append(all, err)
			if size, _ := blobs.Size(p.Digest); size > 0 && int64(len(got)) >= size {
				t.Errorf("blob %s: all %d bytes were handed out before %v", p.Digest, size, err)
			}
			if verifyErr == nil && p.Recipe == "as it is" {
				t.Errorf("Verify finds nothing, but: %v", err)
			}
		case manifest.DigestOf(got) != p.Digest:
			t.Errorf("blob %s: was given %d other bytes", p.Digest, len(got))
		}
	}
	return errors.Join(all...)
}
