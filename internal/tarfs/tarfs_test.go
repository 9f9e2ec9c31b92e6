package tarfs

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// entry is one entry of an archive made by Go's writer.
type entry struct {
	header tar.Header
	body   string
}

func file(name, body string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(body)), Mode: 0o644}, body}
}

func kind(name string, flag byte, link string) entry {
	return entry{tar.Header{Name: name, Typeflag: flag, Linkname: link, Mode: 0o755}, ""}
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(data []byte) (*FS, error) { return New(bytes.NewReader(data), int64(len(data))) }

func openLinks(data []byte) (*FS, error) {
	return NewWithLinks(bytes.NewReader(data), int64(len(data)))
}

func TestReadsWhatGoWrites(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name"
	fsys, err := open(archive(t,
		kind("./", tar.TypeDir, ""), file("./a", "hello"), file("dir/late", "x"), kind("dir/", tar.TypeDir, ""),
		file("empty", ""), file(long, strings.Repeat("z", 1500)), file("ünï", "utf-8"),
	))
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(fsys, "a", "dir/late", "empty", long, "ünï"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "hello", "dir/late": "x", "empty": "", long: strings.Repeat("z", 1500), "ünï": "utf-8"} {
		got, err := fs.ReadFile(fsys, name)
		if err != nil || string(got) != want {
			t.Errorf("%q = %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestReadAt(t *testing.T) {
	fsys, err := open(archive(t, file("a", "0123456789"), file("b", "other")))
	if err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	if n, err := f.(io.ReaderAt).ReadAt(p, 3); n != 4 || err != nil || string(p) != "3456" {
		t.Errorf("ReadAt = %d %q %v", n, p, err)
	}
	if n, err := f.(io.ReaderAt).ReadAt(p, 8); n != 2 || err != io.EOF || string(p[:n]) != "89" {
		t.Errorf("ReadAt over the end = %d %q %v; the next entry's bytes are not ours", n, p[:n], err)
	}
}

// The format of the names is refused or not whatever else is in the archive.
func TestRefused(t *testing.T) {
	global := entry{header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}}
	cases := map[string][]entry{
		"absolute":             {file("/a", "")},
		"parent":               {file("a/../../b", "")},
		"parent first":         {file("../b", "")},
		"dot inside":           {file("a/./b", "")},
		"dot":                  {file(".", "")},
		"twice dot":            {file("././b", "")},
		"double slash":         {file("a//b", "")},
		"dot slash slash":      {file(".//b", "")},
		"backslash":            {file(`a\b`, "")},
		"newline":              {file("a\nb", "")},
		"invalid UTF-8":        {{tar.Header{Name: "a\xffb", Typeflag: tar.TypeReg, Format: tar.FormatGNU}, ""}},
		"long name":            {file(strings.Repeat("a", MaxName+1), "")},
		"twice":                {file("a", ""), file("a", "")},
		"twice by dot slash":   {file("a", ""), file("./a", "")},
		"directory twice":      {kind("a/", tar.TypeDir, ""), kind("a/", tar.TypeDir, "")},
		"root twice":           {kind("./", tar.TypeDir, ""), kind("./", tar.TypeDir, "")},
		"file then directory":  {file("a", ""), kind("a/", tar.TypeDir, "")},
		"directory then file":  {kind("a/", tar.TypeDir, ""), file("a", "")},
		"implied then file":    {file("a/b", ""), file("a", "")},
		"below a file":         {file("a", ""), file("a/b", "")},
		"deep below a file":    {file("a", ""), file("a/b/c/d", "")},
		"symbolic link":        {file("a", ""), kind("b", tar.TypeSymlink, "a")},
		"hard link":            {file("a", ""), kind("b", tar.TypeLink, "a")},
		"fifo":                 {kind("a", tar.TypeFifo, "")},
		"character device":     {kind("a", tar.TypeChar, "")},
		"contiguous":           {kind("a", tar.TypeCont, "")},
		"vendor type":          {kind("a", 'Z', "")},
		"PAX global header":    {global},
		"fine then bad":        {file("a", "x"), file("/b", "")},
		"PAX name with parent": {{tar.Header{Name: strings.Repeat("x/", 90) + "../../y", Typeflag: tar.TypeReg}, ""}},
	}
	for name, entries := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := open(archive(t, entries...)); !errors.Is(err, ErrMalformed) {
				t.Errorf("err = %v, want ErrMalformed", err)
			}
		})
	}
}

func TestLinks(t *testing.T) {
	fsys, err := openLinks(archive(t,
		file("one/layer.tar", "layer one"), kind("two/layer.tar", tar.TypeSymlink, "../one/layer.tar"),
		kind("three", tar.TypeLink, "./two/layer.tar"), kind("early", tar.TypeSymlink, "late"), file("late", "L"),
	))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"two/layer.tar": "layer one", "three": "layer one", "early": "L"} {
		got, err := fs.ReadFile(fsys, name)
		if err != nil || string(got) != want {
			t.Errorf("%q = %q, %v; want %q", name, got, err, want)
		}
		if info, err := fs.Stat(fsys, name); err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(want)) {
			t.Errorf("%q: %v, %v; want a regular file of %d bytes", name, info, err, len(want))
		}
	}
	for name, target := range map[string]string{
		"dangling": "nothing", "outside": "../a", "far outside": "../../../../etc/passwd", "absolute": "/a",
		"directory": "d", "root": ".", "itself": "link", "empty": "", "backslash": `d\a`,
	} {
		t.Run(name, func(t *testing.T) {
			h := kind("link", tar.TypeSymlink, target)
			if _, err := openLinks(archive(t, file("a", "x"), file("d/a", "y"), h)); !errors.Is(err, ErrMalformed) {
				t.Errorf("err = %v, want ErrMalformed", err)
			}
		})
	}
	if _, err := openLinks(archive(t, kind("a", tar.TypeSymlink, "b"), kind("b", tar.TypeSymlink, "a"))); !errors.Is(err, ErrMalformed) {
		t.Errorf("links in a ring: err = %v, want ErrMalformed", err)
	}
}

// Every cut of an archive is noticed, and is no other kind of damage.
func TestTruncated(t *testing.T) {
	whole := archive(t, file("a", strings.Repeat("x", 700)), file(strings.Repeat("n", 300), "y"), file("c", ""))
	for size := range len(whole) {
		if _, err := open(whole[:size]); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d of %d: err = %v, want io.ErrUnexpectedEOF", size, len(whole), err)
		}
	}
	if _, err := open(whole); err != nil {
		t.Fatal(err)
	}
}

// A last file of zeros is no end mark.
func TestZerosAreNoEndMark(t *testing.T) {
	whole := archive(t, file("a", strings.Repeat("\x00", 4096)))
	if _, err := open(whole[:len(whole)-1024]); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("err = %v, want io.ErrUnexpectedEOF", err)
	}
}

func TestTrailing(t *testing.T) {
	whole := archive(t, file("a", "x"))
	if _, err := open(append(bytes.Clone(whole), make([]byte, 70<<10)...)); err != nil {
		t.Errorf("zeros behind the end: %v", err)
	}
	for _, behind := range []int{0, 1, 511, 512, 70 << 10} {
		bad := append(append(bytes.Clone(whole), make([]byte, behind)...), 1)
		if _, err := open(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("a byte %d behind the end: err = %v, want ErrMalformed", behind, err)
		}
	}
	if _, err := New(zeros{bytes.NewReader(whole)}, MaxPadding*2); !errors.Is(err, ErrMalformed) {
		t.Errorf("padding without end: err = %v, want ErrMalformed", err)
	}
}

// zeros is a reader with zeros without end behind it.
type zeros struct{ r io.ReaderAt }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	_, _ = z.r.ReadAt(p, off)
	return len(p), nil
}

// A directory with a body and a GNU sparse file are read differently by
// different readers; Go's writer makes neither.
func TestPatchedHeaders(t *testing.T) {
	for name, patch := range map[string]func(h []byte){
		"directory with a body": func(h []byte) { h[156] = '5'; h[0], h[1] = 'd', '/' },
		"GNU sparse":            func(h []byte) { h[156] = 'S' },
		"file with a slash":     func(h []byte) { h[1] = '/' },
		"checksum":              func(h []byte) { h[148] ^= 1 },
		"negative size":         func(h []byte) { copy(h[124:136], bytes.Repeat([]byte{0xff}, 12)) },
	} {
		t.Run(name, func(t *testing.T) {
			e := file("ab", "body")
			e.header.Format = tar.FormatGNU
			data := archive(t, e)
			patch(data[:512])
			if name != "checksum" {
				sum(data[:512])
			}
			if _, err := open(data); !errors.Is(err, ErrMalformed) {
				t.Errorf("err = %v, want ErrMalformed", err)
			}
		})
	}
	e := file("ab", "body")
	e.header.Format = tar.FormatGNU
	data := archive(t, e)
	copy(data[124:136], []byte{0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	sum(data[:512])
	if _, err := open(data); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a size of almost 2^63: err = %v, want io.ErrUnexpectedEOF", err)
	}
}

// A directory or link that says it has bytes, and has none: some readers skip
// as many, some do not.
func TestSizeOfWhatHasNoBody(t *testing.T) {
	for _, e := range []entry{kind("d/", tar.TypeDir, ""), kind("l", tar.TypeSymlink, "a")} {
		e.header.Format = tar.FormatGNU
		data := archive(t, e, file("a", ""))
		copy(data[124:136], "00000001000\x00")
		sum(data[:512])
		if _, err := openLinks(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: err = %v, want ErrMalformed", e.header.Name, err)
		}
	}
}

func sum(h []byte) {
	copy(h[148:156], "        ")
	var total int
	for _, b := range h {
		total += int(b)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", total))
}

// failing fails reads at and behind an offset.
type failing struct {
	r     io.ReaderAt
	after int64
}

var errDisk = errors.New("input/output error")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.after {
		return 0, errDisk
	}
	return f.r.ReadAt(p, off)
}

func TestReadErrorsAreNotMalformed(t *testing.T) {
	data := archive(t, file("a", strings.Repeat("x", 40<<10)), file("b", "y"))
	for _, after := range []int64{0, 17 << 10, int64(len(data)) - 1} {
		_, err := New(failing{bytes.NewReader(data), after}, int64(len(data)))
		if !errors.Is(err, errDisk) || errors.Is(err, ErrMalformed) {
			t.Errorf("disk fails behind %d: err = %v, want %v alone", after, err, errDisk)
		}
	}
	short := bytes.NewReader(data[:len(data)-1])
	if _, err := New(short, int64(len(data))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("file shorter than said: err = %v, want io.ErrUnexpectedEOF", err)
	}
}

func TestShrunkAfterIndex(t *testing.T) {
	data := archive(t, file("a", strings.Repeat("x", 4000)))
	path := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fsys, err := New(f, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(fsys, "a"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %d bytes, err = %v; want io.ErrUnexpectedEOF", len(got), err)
	}
	a, err := fsys.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.(io.ReaderAt).ReadAt(make([]byte, 1000), 100); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("ReadAt: err = %v; want io.ErrUnexpectedEOF", err)
	}
}

// counting counts reads and their bytes.
type counting struct {
	r     io.ReaderAt
	reads int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	return c.r.ReadAt(p, off)
}

func TestSkipsBodies(t *testing.T) {
	var entries []entry
	for i := range 20 {
		entries = append(entries, file(fmt.Sprint("big", i), strings.Repeat("x", 1<<20)))
	}
	data := archive(t, entries...)
	c := &counting{r: bytes.NewReader(data)}
	if _, err := New(c, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if c.reads > 22 {
		t.Errorf("%d reads for 20 big files, want at most 22", c.reads)
	}
}

// Folders that are only implied count too.
func TestEntryLimit(t *testing.T) {
	const limit = 5000
	fsys := &FS{nodes: map[string]*node{".": newDir(".")}, limit: limit}
	deep := strings.Repeat("d/", 100)
	var err error
	for i := 0; err == nil && i < limit; i++ {
		err = fsys.add(fmt.Sprintf("%d/%sf", i, deep), &node{name: "f"})
	}
	if err == nil || len(fsys.nodes) != limit+1 {
		t.Errorf("%d nodes, err = %v; want an error at %d", len(fsys.nodes), err, limit)
	}
	fsys, err = open(archive(t, file("a", "")))
	if err != nil || fsys.limit != MaxEntries {
		t.Errorf("limit %d, %v; want %d", fsys.limit, err, MaxEntries)
	}
}

func TestGNUTar(t *testing.T) {
	gnuTar, err := exec.LookPath("tar")
	if err != nil {
		missing(t, "GNU tar is not installed")
	}
	dir := t.TempDir()
	long := strings.Repeat("l", 150)
	want := map[string][]byte{"a": []byte("hello"), "d/e/f": make([]byte, 70000), "d/" + long: []byte("long name"), "empty": {}}
	_, _ = rand.Read(want["d/e/f"])
	for name, body := range want {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range []string{"gnu", "pax", "oldgnu"} {
		t.Run(format, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "x.tar")
			if msg, err := exec.Command(gnuTar, "cf", out, "--format="+format, "-C", dir, ".").CombinedOutput(); err != nil {
				t.Fatalf("tar: %v: %s", err, msg)
			}
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			fsys, err := open(data)
			if err != nil {
				t.Fatal(err)
			}
			for name, body := range want {
				got, err := fs.ReadFile(fsys, name)
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("%q: %d bytes, %v; want %d", name, len(got), err, len(body))
				}
			}
			if err := fstest.TestFS(fsys, "a", "d/e/f"); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("sparse", func(t *testing.T) {
		sparse, out := t.TempDir(), filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(filepath.Join(sparse, "s"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(sparse, "s"), 1<<20); err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"gnu", "pax"} {
			if msg, err := exec.Command(gnuTar, "cSf", out, "--format="+format, "-C", sparse, "s").CombinedOutput(); err != nil {
				t.Fatalf("tar: %v: %s", err, msg)
			}
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := open(data); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: err = %v, want ErrMalformed", format, err)
			}
		}
	})
}

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("AIRLOCK_REQUIRE") == "all" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Whatever is accepted is a proper file system, the bytes of its files lie in
// the archive, and its own tar form is accepted again with the same files.
func FuzzNew(f *testing.F) {
	f.Add(archive(f, file("./a", "hello"), kind("d/", tar.TypeDir, ""), file("d/x", strings.Repeat("y", 600))))
	f.Add(archive(f, file("a", "1"), kind("b/c", tar.TypeSymlink, "../a"), kind("h", tar.TypeLink, "b/c")))
	pax := file(strings.Repeat("p/", 100)+"q", "pax")
	pax.header.Format, pax.header.ModTime = tar.FormatPAX, time.Unix(1, 5)
	f.Add(archive(f, pax))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, strictErr := open(data)
		fsys, err := openLinks(data)
		if err != nil {
			if strictErr == nil {
				t.Fatalf("New accepts what NewWithLinks refuses: %v", err)
			}
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("err = %v, neither malformed nor truncated", err)
			}
			return
		}
		var again []entry
		err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			if info, _ := d.Info(); info.Size() != int64(len(body)) || !bytes.Contains(data, body) {
				t.Fatalf("%q has %d bytes, said %d, or they are not the archive's", name, len(body), info.Size())
			}
			again = append(again, file(name, string(body)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		second, err := open(archive(t, again...))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range again {
			if got, err := fs.ReadFile(second, e.header.Name); err != nil || string(got) != e.body {
				t.Fatalf("%q differs the second time: %v", e.header.Name, err)
			}
		}
	})
}
