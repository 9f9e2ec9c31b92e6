package manifest_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"airlock/internal/manifest"
)

// TestCopyIsATar holds that stock tools read copy.tar, and that it has the
// bytes that the standard library writes.
func TestCopyIsATar(t *testing.T) {
	files := map[string][]byte{"SHA256SUMS": []byte("sums\n"), "SHA256SUMS.ana.sig": nil, "blocks.bin": make([]byte, 512), "manifest.json": make([]byte, 513)}
	got := manifest.MarshalCopy(files)
	in := tar.NewReader(bytes.NewReader(got))
	var again bytes.Buffer
	out := tar.NewWriter(&again)
	for n := 0; ; n++ {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			if n != len(files) {
				t.Errorf("%d files", n)
			}
			break
		}
		must(t, err)
		data, err := io.ReadAll(in)
		must(t, err)
		if !bytes.Equal(data, files[header.Name]) || header.Mode != 0o644 || header.Typeflag != tar.TypeReg {
			t.Errorf("%+v", header)
		}
		must(t, out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: header.Name, Size: header.Size, Mode: 0o644, Format: tar.FormatUSTAR}))
		_, err = out.Write(data)
		must(t, err)
	}
	must(t, out.Close())
	if !bytes.Equal(again.Bytes(), got) {
		t.Error("the standard library writes other bytes")
	}
}

// TestCheckParity bends a valid layout.
func TestCheckParity(t *testing.T) {
	files, allowed := golden(t)
	_ = allowed
	m, err := manifest.Parse(files["manifest.json"].Data)
	must(t, err)
	fine := func() *manifest.Parity {
		return &manifest.Parity{Data: 1, Blocks: 1, Stripes: 1, Files: []manifest.Volume{{Name: "shop-1.0.p00.par", Size: manifest.BlockSize}}}
	}
	m.Parity = fine()
	text, err := m.Marshal()
	must(t, err)
	back, err := manifest.Parse(text)
	must(t, err)
	if back.Parity.Size() != manifest.BlockSize || len(back.Large()) != len(m.Volumes)+1 {
		t.Errorf("%+v", back.Parity)
	}
	for name, bend := range map[string]func(p *manifest.Parity){
		"no data":            func(p *manifest.Parity) { p.Data = 0 },
		"no parity":          func(p *manifest.Parity) { p.Blocks = 0 },
		"no stripes":         func(p *manifest.Parity) { p.Stripes = 0 },
		"negative":           func(p *manifest.Parity) { p.Data, p.Stripes = -1, -1 },
		"too much parity":    func(p *manifest.Parity) { p.Blocks, p.Files[0].Size = 17, 17<<20 },
		"too long a stripe":  func(p *manifest.Parity) { p.Data = 255 },
		"overflow":           func(p *manifest.Parity) { p.Stripes = 1 << 62 },
		"no files":           func(p *manifest.Parity) { p.Files = nil },
		"too few bytes":      func(p *manifest.Parity) { p.Blocks = 2 },
		"too many bytes":     func(p *manifest.Parity) { p.Files[0].Size = 2 << 20 },
		"half a block":       func(p *manifest.Parity) { p.Files[0].Size = 1<<20 - 1 },
		"empty file":         func(p *manifest.Parity) { p.Files = append(p.Files, manifest.Volume{Name: "x.par"}) },
		"the same name":      func(p *manifest.Parity) { p.Blocks = 2; p.Files = append(p.Files, p.Files[0]) },
		"another end":        func(p *manifest.Parity) { p.Files[0].Name = "blocks.bin" },
		"a name of no file":  func(p *manifest.Parity) { p.Files[0].Name = "../x" },
		"more than the file": func(p *manifest.Parity) { p.Files[0].Size = 1 << 62 },
	} {
		m.Parity = fine()
		bend(m.Parity)
		if _, err := m.Marshal(); err == nil || !strings.Contains(err.Error(), "parity") && !strings.Contains(err.Error(), "file name") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
