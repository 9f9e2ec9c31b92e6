package catalogue_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"airlock/internal/catalogue"
	"airlock/internal/manifest"
)

// entry makes a folder that looks like a bundle, and its entry.
func entry(t testing.TB, release, version, text string) catalogue.Entry {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, manifest.SumsName), []byte(text), 0o644))
	return catalogue.Entry{
		Release: release, Version: version, Created: "2026-01-02T03:04:05Z",
		Root: manifest.DigestOf([]byte(text)), Path: dir, Size: 1234,
	}
}

func newCatalogue(t testing.TB) (*catalogue.Catalogue, string) {
	path := filepath.Join(t.TempDir(), "state", "airlock", "history.jsonl")
	return catalogue.At(path), path
}

func TestAddAndFind(t *testing.T) {
	c, _ := newCatalogue(t)
	if all, err := c.Entries(); err != nil || len(all) != 0 {
		t.Fatalf("before the first: %v, %v", all, err)
	}
	first, second := entry(t, "shop", "1.0", "first"), entry(t, "shop", "1.1+b", "second")
	second.Bases = []catalogue.Base{{"shop", "1.0", first.Root}}
	must(t, c.Add(first))
	must(t, c.Add(second))
	all, err := c.Entries()
	must(t, err)
	if len(all) != 2 || all[0].Title() != "shop 1.0" || all[1].Bases[0].Root != first.Root {
		t.Errorf("entries %+v", all)
	}
	for name, want := range map[string]catalogue.Entry{
		"shop-1.0": first, "shop:1.0": first, "shop:1.1+b": second,
		first.Root.String(): first, second.Root.Hex()[:8]: second, "sha256:" + first.Root.Hex()[:9]: first,
	} {
		if got, err := c.Find(name); err != nil || got.Path != want.Path {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "shop", "shop-1", "1.0", first.Root.Hex()[:7], "sha256:", "SHOP-1.0", strings.Repeat("0", 64)} {
		if got, err := c.Find(name); !errors.Is(err, catalogue.ErrUnknown) {
			t.Errorf("%q: %+v, %v, want ErrUnknown", name, got, err)
		}
	}
	if got, err := c.FindRoot(second.Root); err != nil || got.Path != second.Path {
		t.Errorf("by root: %+v, %v", got, err)
	}
}

func TestGoneAndReplaced(t *testing.T) {
	c, _ := newCatalogue(t)
	old, now := entry(t, "shop", "1.0", "old"), entry(t, "shop", "1.0", "new")
	must(t, c.Add(old))
	must(t, c.Add(now))
	if _, err := c.Find("shop-1.0"); err == nil || !strings.Contains(err.Error(), old.Root.String()) || !strings.Contains(err.Error(), now.Root.String()) {
		t.Errorf("two bundles of one name: %v", err)
	}
	sums := filepath.Join(old.Path, manifest.SumsName)
	must(t, os.WriteFile(sums, []byte("another"), 0o644))
	if got := old.State(); got != catalogue.Other {
		t.Errorf("with another bundle in its folder: %s", got)
	}
	if got, err := c.Find("shop-1.0"); err != nil || got.Path != now.Path {
		t.Errorf("the one that is there: %+v, %v", got, err)
	}
	must(t, os.Remove(sums))
	if got := old.State(); got != catalogue.Missing {
		t.Errorf("without SHA256SUMS: %s", got)
	}
	must(t, os.RemoveAll(now.Path))
	if got := now.State(); got != catalogue.Missing {
		t.Errorf("without its folder: %s", got)
	}
	if _, err := c.Find("shop-1.0"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), now.Path) {
		t.Errorf("none there: %v", err)
	}
}

// TestPowerCut cuts the file at every byte: what was whole stays, and the next
// entry goes behind it.
func TestPowerCut(t *testing.T) {
	c, path := newCatalogue(t)
	first, second, third := entry(t, "shop", "1", "a"), entry(t, "shop", "2", "b"), entry(t, "shop", "3", "c")
	second.Bases = []catalogue.Base{{"shop", "1", first.Root}} // longer than the third
	must(t, c.Add(first))
	whole, err := os.ReadFile(path)
	must(t, err)
	must(t, c.Add(second))
	text, err := os.ReadFile(path)
	must(t, err)
	for cut := len(whole); cut < len(text); cut++ {
		must(t, os.WriteFile(path, text[:cut], 0o600))
		if all, err := c.Entries(); err != nil || len(all) != 1 {
			t.Fatalf("cut at %d: %d entries, %v", cut, len(all), err)
		}
		must(t, c.Add(third))
		if all, err := c.Entries(); err != nil || len(all) != 2 || all[1].Version != "3" {
			t.Fatalf("cut at %d and added: %+v, %v", cut, all, err)
		}
	}
}

func TestAddSideBySide(t *testing.T) {
	c, path := newCatalogue(t)
	var running sync.WaitGroup
	e := entry(t, "shop", "1", "a")
	for i := range 16 {
		running.Go(func() {
			for k := range 8 {
				mine := e
				mine.Version = fmt.Sprintf("%d.%d", i, k)
				if err := c.Add(mine); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if all, err := c.Entries(); err != nil || len(all) != 128 {
		t.Errorf("%d entries, %v", len(all), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestRefuses(t *testing.T) {
	good := entry(t, "shop", "1.0", "a")
	for what, change := range map[string]func(*catalogue.Entry){
		"release":       func(e *catalogue.Entry) { e.Release = "Shop\n" },
		"version":       func(e *catalogue.Entry) { e.Version = "" },
		"created":       func(e *catalogue.Entry) { e.Created = "yesterday" },
		"root":          func(e *catalogue.Entry) { e.Root = manifest.Digest{} },
		"relative path": func(e *catalogue.Entry) { e.Path = "usb" },
		"path no UTF-8": func(e *catalogue.Entry) { e.Path = "/usb\xff" },
		"long path":     func(e *catalogue.Entry) { e.Path = "/" + strings.Repeat("x", catalogue.MaxLine) },
		"size":          func(e *catalogue.Entry) { e.Size = -1 },
		"base's root":   func(e *catalogue.Entry) { e.Bases = []catalogue.Base{{"shop", "1", manifest.Digest{}}} },
		"base's name":   func(e *catalogue.Entry) { e.Bases = []catalogue.Base{{"", "1", e.Root}} },
	} {
		bad := good
		change(&bad)
		c, path := newCatalogue(t)
		if err := c.Add(bad); err == nil {
			t.Errorf("%s: was added", what)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: there is a file", what)
		}
	}
	line, err := good.Marshal()
	must(t, err)
	for what, text := range map[string][]byte{
		"unknown field": bytes.Replace(line, []byte(`"size"`), []byte(`"more":1,"size"`), 1),
		"other case":    bytes.Replace(line, []byte(`"size"`), []byte(`"Size"`), 1),
		"blank":         bytes.Replace(line, []byte(`:`), []byte(`: `), 1),
		"empty line":    []byte("\n"),
		"no end":        line[:len(line)-1],
		"twice":         append(bytes.Clone(line), line...),
	} {
		if _, err := catalogue.ParseEntry(text); err == nil {
			t.Errorf("%s: was taken", what)
		}
	}
	c, path := newCatalogue(t)
	must(t, c.Add(good))
	must(t, os.WriteFile(path, append(bytes.Clone(line), "{}\n"...), 0o600))
	if _, err := c.Entries(); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a strange line: %v", err)
	}
}

func FuzzParseEntry(f *testing.F) {
	e := entry(f, "shop", "1.0", "a")
	line, err := e.Marshal()
	must(f, err)
	f.Add(line)
	e.Bases = []catalogue.Base{{"shop", "0.9", e.Root}}
	line, err = e.Marshal()
	must(f, err)
	f.Add(line)
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := catalogue.ParseEntry(text)
		if err != nil {
			return
		}
		if again, err := e.Marshal(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q becomes %q, %v", text, again, err)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
