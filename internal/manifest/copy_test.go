package manifest_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"airlock/internal/manifest"
	"airlock/internal/trust"
)

// twice returns a bundle that has its small files a second time, and another
// by the same signer.
func twice(t *testing.T) (good, other map[string][]byte, allowed *trust.AllowedSigners) {
	t.Helper()
	files, allowed := golden(t)
	good = map[string][]byte{}
	for name, f := range files {
		good[name] = f.Data
	}
	other = maps.Clone(good)
	other["README.txt"] = []byte("another\n")
	return good, other, allowed
}

// small returns the files that copy.tar has.
func small(files map[string][]byte) map[string][]byte {
	all := maps.Clone(files)
	maps.DeleteFunc(all, func(name string, _ []byte) bool { return name == "shop-1.0.000.vol" || name == manifest.CopyName })
	return all
}

func asFS(files map[string][]byte) fstest.MapFS {
	all := fstest.MapFS{}
	for name, data := range files {
		all[name] = &fstest.MapFile{Data: data}
	}
	return all
}

// TestHostileCopies holds that copy.tar never counts before a file that is
// good, that it is judged like what it stands for, and that what is wrong with
// it denies nothing that is good elsewhere.
func TestHostileCopies(t *testing.T) {
	good, other, allowed := twice(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const sig = "SHA256SUMS.ana.sig"
	with := func(tar map[string][]byte, bend func(map[string][]byte)) map[string][]byte {
		files := maps.Clone(good)
		files[manifest.CopyName] = manifest.MarshalCopy(small(tar))
		bend(files)
		return files
	}
	lose := func(names ...string) func(map[string][]byte) {
		return func(f map[string][]byte) {
			for _, name := range names {
				delete(f, name)
			}
		}
	}
	flip := func(name string) func(map[string][]byte) {
		return func(f map[string][]byte) {
			f[name] = bytes.Clone(f[name])
			f[name][len(f[name])/2] ^= 1
		}
	}
	junk := maps.Clone(good)
	junk["SHA256SUMS.zed.sig"] = []byte("junk")
	many := maps.Clone(good)
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789" {
		many["SHA256SUMS."+string(c)+".sig"] = []byte("junk")
	}
	noSums := maps.Clone(other)
	noSums["SHA256SUMS"] = []byte("not signed\n")
	for name, c := range map[string]struct {
		files  map[string][]byte
		mended []string // nil: refused
	}{
		"whole, the copy of another":       {with(other, lose()), []string{}},
		"whole, junk signatures in copy":   {with(many, lose()), []string{}},
		"whole, the copy is not a tar":     {with(good, func(f map[string][]byte) { f[manifest.CopyName] = []byte("copy") }), []string{}},
		"no README, good copy":             {with(good, lose("README.txt")), []string{"README.txt"}},
		"no README, other copy":            {with(other, lose("README.txt")), nil},
		"no sums, good copy":               {with(good, lose("SHA256SUMS")), []string{"SHA256SUMS"}},
		"no sums, unsigned copy":           {with(noSums, lose("SHA256SUMS")), nil},
		"no sums, hurt copy":               {with(good, func(f map[string][]byte) { lose("SHA256SUMS")(f); flip(manifest.CopyName)(f) }), []string{"SHA256SUMS"}},
		"flipped sums, good copy":          {with(good, flip("SHA256SUMS")), []string{"SHA256SUMS"}},
		"flipped signature, good copy":     {with(good, flip(sig)), []string{sig}},
		"flipped manifest, good copy":      {with(good, flip("manifest.json")), []string{"manifest.json"}},
		"all lost, good copy":              {with(good, lose("SHA256SUMS", sig, "manifest.json", "blocks.bin", "README.txt")), []string{"README.txt", "SHA256SUMS", sig, "blocks.bin", "manifest.json"}},
		"no signature anywhere":            {with(small(map[string][]byte{"SHA256SUMS": good["SHA256SUMS"]}), lose(sig)), nil},
		"junk signature beside, good copy": {with(good, func(f map[string][]byte) { f["SHA256SUMS.zed.sig"] = []byte("junk") }), nil},
	} {
		v, err := manifest.Open(asFS(c.files), allowed, at)
		if c.mended == nil {
			if err == nil {
				t.Errorf("%s: opened", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if v.Root() != manifest.DigestOf(good["SHA256SUMS"]) || !slices.Equal(v.Mended(), c.mended) && len(v.Mended())+len(c.mended) > 0 {
			t.Errorf("%s: root %s, mended %q", name, v.Root(), v.Mended())
		}
		for file, want := range small(good) {
			if got, _ := v.Text(file); !bytes.Equal(got, want) {
				t.Errorf("%s: %s is %q", name, file, got)
			}
		}
	}
}

// TestCopyIsBounded holds that a copy.tar that is no file of its size is not
// read.
func TestCopyIsBounded(t *testing.T) {
	good, _, allowed := twice(t)
	delete(good, "README.txt")
	files := asFS(good)
	files[manifest.CopyName] = &fstest.MapFile{Mode: fs.ModeDir}
	if _, err := manifest.Open(files, allowed, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)); !errors.Is(err, manifest.ErrRejected) {
		t.Error(err)
	}
}

// FuzzCopy holds that what is taken from any bytes is what stands there, and
// that only the writer's bytes are called whole.
func FuzzCopy(f *testing.F) {
	whole := manifest.MarshalCopy(map[string][]byte{"SHA256SUMS": []byte("sums\n"), "SHA256SUMS.ana.sig": []byte("sig"), "blocks.bin": make([]byte, 512)})
	f.Add(whole)
	f.Add(whole[:len(whole)-512])
	f.Add(append(bytes.Clone(whole), make([]byte, 512)...))
	f.Add(append(bytes.Clone(whole[:1024]), whole...))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := manifest.ReadCopy(fstest.MapFS{manifest.CopyName: {Data: data}})
		if same := bytes.Equal(manifest.MarshalCopy(files), data); (err == nil) != same {
			t.Errorf("%d files, %v, and written again they are the same: %t", len(files), err, same)
		}
		for name, body := range files {
			if !bytes.Contains(data, body) || len(name) > 100 {
				t.Errorf("%q is not there", name)
			}
		}
	})
}
