package manifest_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"airlock/internal/bundletest"
	"airlock/internal/manifest"
	"airlock/internal/trust"
)

const goldenDir = "../archive/testdata/golden"

// golden returns the golden bundle in memory, and who is trusted.
func golden(t testing.TB) (fstest.MapFS, *trust.AllowedSigners) {
	t.Helper()
	files := fstest.MapFS{}
	entries, err := os.ReadDir(goldenDir)
	if err != nil || len(entries) == 0 {
		t.Fatal(len(entries), err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(goldenDir + "/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = &fstest.MapFile{Data: data, Mode: 0o644}
	}
	text, err := os.ReadFile("../archive/testdata/allowed_signers")
	if err != nil {
		t.Fatal(err)
	}
	allowed, err := trust.ParseAllowedSigners(text)
	if err != nil {
		t.Fatal(err)
	}
	return files, allowed
}

func TestOpen(t *testing.T) {
	files, allowed := golden(t)
	v, err := manifest.Open(files, allowed, bundletest.Created)
	if err != nil {
		t.Fatal(err)
	}
	if v.Root() != manifest.DigestOf(files["SHA256SUMS"].Data) || v.Manifest().Title() != "shop 1.0" {
		t.Errorf("%s, %s", v.Root(), v.Manifest().Title())
	}
	for _, name := range []string{"blocks.bin", "manifest.json", "README.txt"} {
		if string(v.File(name)) != string(files[name].Data) {
			t.Errorf("File(%q) gives %q", name, v.File(name))
		}
	}
	if v.File("shop-1.0.000.vol") != nil || v.File("absent") != nil {
		t.Error("a volume is read whole")
	}
	if v.Sum("shop-1.0.000.vol") != manifest.DigestOf(files["shop-1.0.000.vol"].Data) || !v.Sum("absent").IsZero() {
		t.Error("another sum")
	}
	signed := v.Signed()
	if len(signed) != 1 || signed[0].File != "SHA256SUMS.ana.sig" || signed[0].Signer == nil || !signed[0].Signer.Is("ana") || signed[0].Untrusted != nil {
		t.Errorf("signed: %+v", signed)
	}
}

// TestEmptySignature: on FAT, a power cut in a signature's rename leaves an empty
// file, which is no signature.
func TestEmptySignature(t *testing.T) {
	files, allowed := golden(t)
	files["SHA256SUMS.bo.sig"] = &fstest.MapFile{}
	v, err := manifest.Open(files, allowed, bundletest.Created)
	if err != nil || len(v.Signed()) != 1 {
		t.Error(v, err)
	}
	files["SHA256SUMS.bo.sig"].Data = []byte("x")
	if _, err := manifest.Open(files, allowed, bundletest.Created); !errors.Is(err, manifest.ErrRejected) && !errors.Is(err, trust.ErrRejected) {
		t.Error(err)
	}
	files["SHA256SUMS.ana.sig"].Data, files["SHA256SUMS.bo.sig"].Data = nil, nil
	if _, err := manifest.Open(files, allowed, bundletest.Created); !errors.Is(err, manifest.ErrRejected) {
		t.Error(err)
	}
}

// TestRead takes what is consistent, whoever signed it.
func TestRead(t *testing.T) {
	files, _ := golden(t)
	files["SHA256SUMS.ana.sig"].Data = []byte("junk")
	files["SHA256SUMS.zoe.sig"] = &fstest.MapFile{Data: []byte("junk")}
	u, err := manifest.Read(files)
	if err != nil || u.Manifest.Title() != "shop 1.0" || strings.Join(u.Signatures, " ") != "ana zoe" || u.Root != manifest.DigestOf(files["SHA256SUMS"].Data) {
		t.Errorf("%+v, %v", u, err)
	}
	files["manifest.json"].Data[0] ^= 1
	if _, err := manifest.Read(files); !errors.Is(err, manifest.ErrRejected) || !strings.Contains(err.Error(), "manifest.json") {
		t.Error(err)
	}
	delete(files, "SHA256SUMS")
	if _, err := manifest.Read(files); !errors.Is(err, manifest.ErrIncomplete) {
		t.Error(err)
	}
}

// TestNotRegular is row 33: whatever is no regular file is not read.
func TestNotRegular(t *testing.T) {
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.ana.sig", "manifest.json", "blocks.bin", "README.txt"} {
		for _, mode := range []fs.FileMode{fs.ModeDir, fs.ModeNamedPipe, fs.ModeDevice, fs.ModeSocket, fs.ModeIrregular} {
			files, allowed := golden(t)
			files[name].Mode |= mode
			if _, err := manifest.Open(files, allowed, bundletest.Created); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s with %s: %v", name, mode, err)
			}
		}
	}
}

// liar is a file system whose files are other than their Stat says.
type liar struct {
	fstest.MapFS
	name string
	file func(fs.File) fs.File
}

func (l liar) Open(name string) (fs.File, error) {
	f, err := l.MapFS.Open(name)
	if name == l.name && err == nil {
		f = l.file(f)
	}
	return f, err
}

type shorter struct{ fs.File }

func (s shorter) Read(p []byte) (int, error) { return 0, io.EOF }

type longer struct {
	fs.File
	more bool
}

func (l *longer) Read(p []byte) (int, error) {
	n, err := l.File.Read(p)
	if n == 0 && !l.more {
		l.more = true
		return copy(p, "x"), nil
	}
	return n, err
}

// TestFilesThatLie holds that a file with fewer or more bytes than its size is
// refused, though the bytes up to its size are right.
func TestFilesThatLie(t *testing.T) {
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.ana.sig", "manifest.json", "blocks.bin", "README.txt"} {
		files, allowed := golden(t)
		for what, file := range map[string]func(fs.File) fs.File{
			"shorter": func(f fs.File) fs.File { return shorter{f} },
			"longer":  func(f fs.File) fs.File { return &longer{File: f} },
		} {
			if _, err := manifest.Open(liar{files, name, file}, allowed, bundletest.Created); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s is %s: %v", name, what, err)
			}
		}
	}
}

// TestNothingIsParsedUnsigned holds that with a signature that does not hold
// nothing but SHA256SUMS and signatures is opened, and copy.tar where they
// stand a second time.
func TestNothingIsParsedUnsigned(t *testing.T) {
	files, allowed := golden(t)
	files["SHA256SUMS"].Data[0] ^= 1
	var opened []string
	_, err := manifest.Open(recorder{files, &opened}, allowed, bundletest.Created)
	if !errors.Is(err, trust.ErrRejected) {
		t.Error(err)
	}
	for _, name := range opened {
		if name != "." && name != manifest.CopyName && !strings.HasPrefix(name, "SHA256SUMS") {
			t.Errorf("%s was opened", name)
		}
	}
	if len(opened) == 0 {
		t.Error("nothing was opened at all")
	}
}

type recorder struct {
	fstest.MapFS
	opened *[]string
}

func (r recorder) Open(name string) (fs.File, error) {
	*r.opened = append(*r.opened, name)
	return r.MapFS.Open(name)
}
func (r recorder) ReadDir(name string) ([]fs.DirEntry, error) { return r.MapFS.ReadDir(name) }
