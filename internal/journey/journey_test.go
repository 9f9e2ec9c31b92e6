//go:build linux

package journey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"airlock/internal/bundletest"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/progress"
	"airlock/internal/realtest"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// bundle returns a bundle of volumes of one block, so many or a little more.
func bundle(t *testing.T, blocks int) *journey.Bundle {
	t.Helper()
	kit := bundletest.NewKit(t)
	layer := make([]byte, blocks<<20)
	_, err := rand.NewChaCha8([32]byte{byte(blocks)}).Read(layer)
	must(t, err)
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer(layer, types.OCIUncompressedLayer)})
	must(t, err)
	files := kit.Bundle(t, bundletest.Release(bundletest.FromImage(t, mutate.MediaType(image, types.OCIManifestSchema1))), 1<<20).MapFS
	texts, err := manifest.Read(files)
	must(t, err)
	return &journey.Bundle{Texts: texts, Files: atFS{files}}
}

// atFS is files in memory that can be read at random.
type atFS struct{ fstest.MapFS }

func (f atFS) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	if err != nil || name == "." {
		return file, err
	}
	return &atFile{File: file, Reader: bytes.NewReader(f.MapFS[name].Data)}, nil
}

type atFile struct {
	fs.File
	*bytes.Reader
}

func (f *atFile) Read(b []byte) (int, error) { return f.Reader.Read(b) }

// folder returns an empty folder to send to, and what is there.
func folder(t *testing.T) (*transfer.Dir, *transfer.Folder, string) {
	t.Helper()
	path := t.TempDir()
	dir, err := transfer.NewDir(path)
	must(t, err)
	there, err := transfer.OpenDir(path)
	must(t, err)
	return dir, there, path
}

func volumes(b *journey.Bundle) []string {
	var names []string
	for _, v := range b.Texts.Manifest.Volumes {
		names = append(names, v.Name)
	}
	return names
}

func upTo(limit int64) journey.Fits {
	return func(sizes []int64) error {
		var sum int64
		for _, size := range sizes {
			sum += size
		}
		if sum > limit {
			return transfer.ErrFull
		}
		return nil
	}
}

func TestPlan(t *testing.T) {
	b := bundle(t, 6) // seven volumes, the last one small
	all := volumes(b)
	if len(all) != 7 {
		t.Fatal(all)
	}
	plan, err := b.PlanSticks(upTo(3 << 20))
	must(t, err)
	if got := files(plan); !slices.Equal(got, []string{"0-2", "3-5", "6-6"}) || !b.Covers(plan) {
		t.Fatalf("planned %v", got)
	}
	// The second stick is smaller than was planned; the first one was written.
	plan.Sticks[0].Begun, plan.Sticks[0].Done = true, true
	must(t, b.Replan(plan, upTo(1<<20), upTo(2<<20)))
	if got := files(plan); !slices.Equal(got, []string{"0-2", "3-3", "4-5", "6-6"}) || plan.Next() != 2 || !b.Covers(plan) {
		t.Errorf("planned anew %v, next %d", got, plan.Next())
	}
	// Sticks of several sizes are at hand, and the rest is like the last one.
	mixed := &journey.Plan{}
	must(t, b.Replan(mixed, upTo(1<<20), upTo(3<<20), upTo(2<<20)))
	if got := files(mixed); !slices.Equal(got, []string{"0-0", "1-3", "4-5", "6-6"}) || !b.Covers(mixed) {
		t.Errorf("planned for three sizes %v", got)
	}
	// One that says that it is the third is it.
	if n, err := b.Adopt(plan, &media.Stick{Number: 9, Count: 9, Files: all[4:6]}, upTo(2<<20)); n != 3 || err != nil {
		t.Errorf("adopted as %d, %v", n, err)
	}
	// One of another plan becomes part of this one with what no other has.
	n, err := b.Adopt(plan, &media.Stick{Number: 2, Count: 2, Files: all[2:5]}, upTo(2<<20))
	must(t, err)
	if got := files(plan); n != 2 || !slices.Equal(got, []string{"0-2", "3-4", "5-6"}) || !b.Covers(plan) {
		t.Errorf("adopted as %d: %v", n, got)
	}
	if _, err := b.Adopt(plan, &media.Stick{Number: 1, Count: 2, Files: all[:2]}, upTo(2<<20)); err == nil {
		t.Error("a stick of which everything is elsewhere was adopted")
	}
	if _, err := b.PlanSticks(upTo(1000)); !errors.Is(err, journey.ErrTooSmall) || !errors.Is(err, transfer.ErrFull) {
		t.Errorf("sticks that are too small: %v", err)
	}
	for _, wrong := range []*journey.Plan{
		{}, {Sticks: []journey.Part{{Files: all[1:]}}}, {Sticks: []journey.Part{{Files: all}, {Files: all[:1]}}},
		{Sticks: []journey.Part{{Files: all}, {}}}, {Sticks: []journey.Part{{Files: append([]string{"x.000.vol"}, all...)}}},
	} {
		if b.Covers(wrong) {
			t.Errorf("%v is taken for a plan", wrong)
		}
	}
}

// files returns the numbers of each stick's first and last volume.
func files(p *journey.Plan) []string {
	var all []string
	number := func(name string) string {
		name = strings.TrimSuffix(name, ".vol")
		return strings.TrimLeft(name[:len(name)-1][len(name)-3:], "0") + name[len(name)-1:]
	}
	for _, s := range p.Sticks {
		all = append(all, number(s.Files[0])+"-"+number(s.Files[len(s.Files)-1]))
	}
	return all
}

// TestSticks sends the parts of a bundle to sticks, in any order, one of them
// cut short.
func TestSticks(t *testing.T) {
	b := bundle(t, 4)
	plan, err := b.PlanSticks(upTo(2 << 20))
	must(t, err)
	for _, number := range []int{3, 1, 2} {
		dir, there, path := folder(t)
		stick := plan.Stick(number)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.SendStick(ctx, dir, there, transfer.Sender{}, stick); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		marked, err := media.ReadStick(there)
		must(t, err)
		if marked == nil || marked.Number != number || marked.Count != 3 || marked.Root != b.Texts.Root || !slices.Equal(marked.Files, stick.Files) {
			t.Errorf("the stick that was cut says %+v", marked)
		}
		if outcome, err := b.SendStick(t.Context(), dir, there, transfer.Sender{}, stick); outcome != journey.Written || err != nil {
			t.Fatal(outcome, err)
		}
		if outcome, err := b.ReadStick(t.Context(), dir, transfer.Sender{}, stick); outcome < journey.ReadCached || err != nil {
			t.Fatal(outcome, err)
		}
		here, elsewhere, err := media.Present(there, b.Texts.Manifest.Volumes)
		if err != nil || !slices.Equal(here, stick.Files) || len(here)+len(elsewhere) != 5 {
			t.Errorf("here %v, elsewhere %v, %v", here, elsewhere, err)
		}
		for _, name := range []string{manifest.SumsName, manifest.ManifestName, manifest.BlocksName, manifest.ReadmeName, "SHA256SUMS.ana.sig"} {
			if _, err := os.Stat(filepath.Join(path, name)); err != nil {
				t.Error(err)
			}
		}
		// The whole bundle there: then it is no stick of several any more.
		if _, err := b.Send(t.Context(), dir, there, transfer.Sender{}); err != nil {
			t.Fatal(err)
		}
		if outcome, err := b.Send(t.Context(), dir, there, transfer.Sender{}); outcome != journey.Already || err != nil {
			t.Error(outcome, err)
		}
		if marked, err := media.ReadStick(there); marked != nil || err != nil {
			t.Errorf("a whole bundle says %v, %v", marked, err)
		}
	}
}

// TestLook tells this bundle's files from those of others.
func TestLook(t *testing.T) {
	b, other := bundle(t, 2), bundle(t, 3)
	name := volumes(b)[0]
	mine, theirs := b.Files.(atFS).MapFS, other.Files.(atFS).MapFS
	stick := func(b *journey.Bundle) *fstest.MapFile {
		return &fstest.MapFile{Data: media.Stick{Root: b.Texts.Root, Number: 1, Count: 1}.Marshal()}
	}
	for what, c := range map[string]struct {
		there fstest.MapFS
		ok    bool
	}{
		"nothing":                  {fstest.MapFS{}, true},
		"files of somebody else":   {fstest.MapFS{"photo.jpg": {}, "data.vol": {}, "README.txt": {}}, true},
		"all of it":                {mine, true},
		"another bundle":           {theirs, false},
		"its volume":               {fstest.MapFS{name: mine[name]}, true},
		"its volume, cut":          {fstest.MapFS{name: {Data: mine[name].Data[:1000]}}, true},
		"its volume, empty":        {fstest.MapFS{name: {}}, true},
		"a volume of its name":     {fstest.MapFS{name: theirs[volumes(other)[0]]}, false},
		"the same, and its stick":  {fstest.MapFS{name: theirs[volumes(other)[0]], media.StickName: stick(b)}, true},
		"another's stick":          {fstest.MapFS{media.StickName: stick(other)}, false},
		"a torn stick.json":        {fstest.MapFS{media.StickName: {Data: []byte("{")}}, true},
		"another's manifest":       {fstest.MapFS{manifest.ManifestName: theirs[manifest.ManifestName]}, false},
		"a torn manifest":          {fstest.MapFS{manifest.ManifestName: {Data: []byte("{")}}, true},
		"a volume of another name": {fstest.MapFS{"shop-0.9.000.vol": {}}, false},
		"an emptied SHA256SUMS":    {fstest.MapFS{name: mine[name], manifest.SumsName: {}}, true},
		"parity of another":        {fstest.MapFS{"shop-0.9.p00.par": {}}, false},
	} {
		have, err := b.Look(c.there)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, journey.ErrOther) {
			t.Errorf("%s: %+v, %v", what, have, err)
		}
	}
}

// TestLies has a medium change what it was given: it is not called complete
// then, and the next attempt writes what differs, and that only.
func TestLies(t *testing.T) {
	b := bundle(t, 4)
	dir, there, path := folder(t)
	journal, err := transfer.OpenJournal(t.TempDir())
	must(t, err)
	sender := transfer.Sender{Journal: journal, Progress: progress.Discard}
	names := append(volumes(b)[1:3], manifest.BlocksName, manifest.SumsName, "SHA256SUMS.ana.sig")
	for _, name := range names {
		if _, err := b.Send(t.Context(), dir, there, sender); err != nil {
			t.Fatal(name, err)
		}
		if _, err := b.ReadBack(t.Context(), dir, sender); err != nil {
			t.Fatal(name, err)
		}
		data, err := os.ReadFile(filepath.Join(path, name))
		must(t, err)
		data[len(data)/2] ^= 1
		must(t, os.WriteFile(filepath.Join(path, name), data, 0o644))
		_, err = b.ReadBack(t.Context(), dir, sender)
		if !errors.Is(err, journey.ErrChanged) || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(path, manifest.SumsName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it is still called complete: %v", name, err)
		}
	}
}

// TestDamagedSource: damage here is not carried on, and not blamed on the place.
func TestDamagedSource(t *testing.T) {
	for want, damage := range map[string]func(data []byte) []byte{
		"block 0 of ":                       func(data []byte) []byte { data[5000] ^= 1; return data },
		"has 9 bytes where it is sent from": func(data []byte) []byte { return data[:9] },
		"is missing where it is sent from":  func([]byte) []byte { return nil },
	} {
		b := bundle(t, 4)
		mine := maps.Clone(b.Files.(atFS).MapFS)
		name := volumes(b)[2]
		if data := damage(bytes.Clone(mine[name].Data)); data != nil {
			mine[name] = &fstest.MapFile{Data: data}
		} else {
			delete(mine, name)
		}
		b.Files = atFS{mine}
		dir, there, path := folder(t)
		_, err := b.Send(t.Context(), dir, there, transfer.Sender{})
		if !errors.Is(err, volume.ErrDamaged) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Error(err)
		}
		for _, absent := range []string{manifest.SumsName, name} {
			if _, err := os.Stat(filepath.Join(path, absent)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s is there: %v", want, absent, err)
			}
		}
	}
}

// TestClear removes another bundle and leaves what is no bundle's.
func TestClear(t *testing.T) {
	b, other := bundle(t, 2), bundle(t, 3)
	dir, there, path := folder(t)
	must(t, os.WriteFile(filepath.Join(path, "photo.jpg"), nil, 0o644))
	_, err := other.Send(t.Context(), dir, there, transfer.Sender{})
	must(t, err)
	if _, err := b.Send(t.Context(), dir, there, transfer.Sender{}); !errors.Is(err, journey.ErrOther) {
		t.Fatal(err)
	}
	must(t, journey.Clear(dir, there))
	left, err := os.ReadDir(path)
	if err != nil || len(left) != 1 || left[0].Name() != "photo.jpg" {
		t.Errorf("%v is left, %v", left, err)
	}
}

// TestServer sends to a real server, and reads back from there.
func TestServer(t *testing.T) {
	server := realtest.SSHD(t, realtest.Confined)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	u := transfer.URL{Host: "realtest", Dir: filepath.Join(server.Path, "shop")}
	to, err := transfer.Dial(ctx, u, transfer.Options{ConfigFile: server.ConfigFile, AgentSocket: "none"})
	must(t, err)
	defer to.Close()
	b, sender := bundle(t, 4), transfer.Sender{Progress: progress.Discard}
	for _, want := range []journey.Outcome{journey.Written, journey.Already} {
		if outcome, err := b.Send(ctx, to, to.Files(), sender); outcome != want || err != nil {
			t.Fatal(outcome, err)
		}
		if outcome, err := b.ReadBack(ctx, to, sender); outcome != journey.ReadCached || err != nil {
			t.Fatal(outcome, err)
		}
	}
	path := filepath.Join(server.Root, "shop", volumes(b)[1])
	data, err := os.ReadFile(path)
	must(t, err)
	data[100] ^= 1
	must(t, os.WriteFile(path, data, 0o644))
	if _, err := b.ReadBack(ctx, to, sender); !errors.Is(err, journey.ErrChanged) {
		t.Errorf("other bytes on the server: %v", err)
	}
	if _, err := bundle(t, 3).Send(ctx, to, to.Files(), sender); !errors.Is(err, journey.ErrOther) {
		t.Errorf("another bundle: %v", err)
	}
}

// TestServerRoom has a server with less room than the bundle takes: it is refused
// before anything is written, and what is there of the bundle counts as free.
func TestServerRoom(t *testing.T) {
	server := realtest.SSHD(t)
	point := filepath.Join(server.Root, "small")
	must(t, os.Mkdir(point, 0o755))
	if err := unix.Mount("none", point, "tmpfs", 0, "size=6m"); err != nil {
		realtest.Missing(t, "mounting a tmpfs: "+err.Error())
	}
	t.Cleanup(func() { must(t, unix.Unmount(point, unix.MNT_DETACH)) })
	u := transfer.URL{Host: "realtest", Dir: filepath.Join(server.Path, "small", "a", "b")}
	to, err := transfer.Dial(t.Context(), u, transfer.Options{ConfigFile: server.ConfigFile, AgentSocket: "none"})
	must(t, err)
	defer to.Close()
	journal, err := transfer.OpenJournal(t.TempDir())
	must(t, err)
	sender := transfer.Sender{Progress: progress.Discard, Journal: journal}
	_, err = bundle(t, 6).Send(t.Context(), to, to.Files(), sender)
	if !errors.Is(err, transfer.ErrFull) || !strings.Contains(err.Error(), "it has 6.3 MB free, and the bundle takes 6.3 MB") {
		t.Errorf("a bundle that is too large: %v", err)
	}
	if entries, err := os.ReadDir(point); err != nil || len(entries) > 0 {
		t.Errorf("a bundle that is too large left %v, %v", entries, err)
	}
	b := bundle(t, 5)
	outcome, err := b.Send(t.Context(), to, to.Files(), sender)
	if outcome != journey.Written || err != nil {
		t.Fatal(outcome, err)
	}
	must(t, os.Remove(filepath.Join(point, "a", "b", volumes(b)[1])))
	if outcome, err := b.Send(t.Context(), to, to.Files(), sender); outcome != journey.Written || err != nil {
		t.Errorf("with most of it there: %v, %v", outcome, err)
	}
	must(t, os.Remove(filepath.Join(point, "a", "b", volumes(b)[1])))
	must(t, os.WriteFile(filepath.Join(point, "ballast"), make([]byte, 1<<20), 0o644))
	_, err = b.Send(t.Context(), to, to.Files(), sender)
	if !errors.Is(err, transfer.ErrFull) || !strings.Contains(err.Error(), "free, and the bundle takes 5.2 MB, of which 4.2 MB are there") {
		t.Errorf("with the rest too large: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
