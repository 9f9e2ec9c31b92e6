package diff_test

import (
	"archive/tar"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/diff"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

// files returns what changed within the one layer of a release.
func files(t *testing.T, from, to []file) *diff.Files {
	t.Helper()
	r := compare(t, one(t, step{"RUN", tarOf(t, from...), 0, ""}), one(t, step{"RUN", tarOf(t, to...), 0, ""}), false)
	if len(r.Images) != 1 || len(r.Images[0].Layers) != 1 || r.Images[0].Layers[0].Files == nil {
		t.Fatalf("report %+v", r)
	}
	return r.Images[0].Layers[0].Files
}

func TestFiles(t *testing.T) {
	got := files(t, []file{
		{name: "same", body: "x"}, {name: "./touched", body: "x"}, {name: "other", body: "x"}, {name: "grown", body: "x"},
		{name: "gone", body: "xyz"}, {name: "mode", mode: 0o755}, {name: "owner"}, {name: "able"}, {name: "etc/", kind: tar.TypeDir, mode: 0o755},
		{name: "link", kind: tar.TypeSymlink, link: "a"}, {name: "kind", body: "x"}, {name: "hidden", body: "1234"},
		{name: ".wh.shown"}, {name: "usr/.wh.back"}, {name: "both/.wh.w"}, {name: "twice", body: "1"}, {name: "lib/.wh..wh..opq"},
	}, []file{
		{name: "/same", body: "x"}, {name: "touched", body: "x", later: true}, {name: "other", body: "y"}, {name: "grown", body: "xx"},
		{name: "mode", mode: 0o4755}, {name: "owner", uid: 7}, {name: "able", xattr: "all"}, {name: "etc/", kind: tar.TypeDir, mode: 0o700},
		{name: "link", kind: tar.TypeSymlink, link: "b"}, {name: "kind", kind: tar.TypeSymlink, link: "x"}, {name: ".wh.hidden"},
		{name: "usr/back", body: "12"}, {name: "both/.wh.w"}, {name: "new/file", body: "123"}, {name: "srv/.wh..wh..opq"},
		{name: "twice", body: "2"}, {name: "a/../twice", body: "1"},
	})
	want := []diff.Change{
		{State: diff.Changed, Path: "able", Note: "other extended attributes"},
		{State: diff.Changed, Path: "etc/", Note: "mode 0700, was 0755"},
		{State: diff.Removed, Path: "gone", Was: 3},
		{State: diff.Changed, Path: "grown", Size: 2, Was: 1},
		{State: diff.Removed, Path: "hidden", Was: 4, Whiteout: true},
		{State: diff.Changed, Path: "kind", Was: 1, Note: "symbolic link, was a file"},
		{State: diff.Added, Path: "lib/*", Whiteout: true},
		{State: diff.Changed, Path: "link", Note: `to "b", was to "a"`},
		{State: diff.Changed, Path: "mode", Note: "mode 4755, was 0755"},
		{State: diff.Added, Path: "new/file", Size: 3},
		{State: diff.Changed, Path: "other", Size: 1, Was: 1},
		{State: diff.Changed, Path: "owner", Note: "owner 7:0, was 0:0"},
		{State: diff.Added, Path: "shown", Whiteout: true},
		{State: diff.Removed, Path: "srv/*", Whiteout: true},
		{State: diff.Added, Path: "usr/back", Size: 2},
	}
	for i, w := range want {
		if i >= len(got.List) || got.List[i] != w {
			t.Errorf("change %d: want %+v, got\n%+v", i, w, got.List[min(i, len(got.List)-1)])
		}
	}
	if len(got.List) != len(want) || got.Added != 4 || got.Removed != 3 || got.Changed != 8 || got.TimesOnly != 1 {
		t.Errorf("%d changes, %+v", len(got.List), got)
	}
}

// TestManyFiles holds that many changes are summed up by folder, unless all
// are asked for.
func TestManyFiles(t *testing.T) {
	var from, to []file
	for i := range 300 {
		dir := fmt.Sprintf("usr/lib/part%d/deep/", i%5)
		from = append(from, file{name: fmt.Sprintf("%sold%d", dir, i), body: "x"})
		to = append(to, file{name: fmt.Sprintf("%snew%d", dir, i), body: "12"})
	}
	to = append(to, file{name: "top", body: "1234"})
	got := files(t, from, to)
	if got.List != nil || len(got.Directories) != 6 || got.Added != 301 || got.Removed != 300 {
		t.Fatalf("%+v", got)
	}
	if got.Directories[0] != (diff.Directory{Path: "/", Added: 1, Bytes: 4}) ||
		got.Directories[1] != (diff.Directory{Path: "usr/lib/part0/deep/", Added: 60, Removed: 60, Bytes: 120}) {
		t.Errorf("folders %+v", got.Directories)
	}
	all := compare(t, one(t, step{"RUN", tarOf(t, from...), 0, ""}), one(t, step{"RUN", tarOf(t, to...), 0, ""}), true)
	if list := all.Images[0].Layers[0].Files.List; len(list) != 601 {
		t.Errorf("%d files are listed", len(list))
	}
	// So many folders that only those with the most changes are named.
	to = nil
	for i := range 400 {
		to = append(to, file{name: fmt.Sprintf("usr/f%d/%d", min(i, 50), i)})
	}
	got = files(t, nil, to)
	rest := got.Directories[len(got.Directories)-1]
	if len(got.Directories) != 12 || rest.Path != "" || rest.Added != 40 || !slices.ContainsFunc(got.Directories, func(d diff.Directory) bool { return d.Path == "usr/f50/" && d.Added == 350 }) {
		t.Errorf("folders %+v", got.Directories)
	}
}

func TestLayers(t *testing.T) {
	layer := func(by, body string) step { return step{by, tarOf(t, file{name: "f", body: body}), 0, ""} }
	recompressed := layer("FROM", "base")
	recompressed.level = 1
	r := compare(t,
		one(t, layer("FROM", "base"), layer("RUN apt", "1"), layer("COPY app", "1"), layer("RUN old", "o")),
		one(t, recompressed, layer("RUN apt", "2"), layer("RUN new", "n"), layer("COPY app", "2")), false)
	var got []string
	for _, l := range r.Images[0].Layers {
		got = append(got, string(l.State))
	}
	if want := []string{"same", "changed", "added", "changed", "removed"}; !slices.Equal(got, want) {
		t.Errorf("layers %q, want %q", got, want)
	}
	same := r.Images[0].Layers[0]
	if same.From.Digest == same.To.Digest || *same.From.DiffID != *same.To.DiffID {
		t.Errorf("the layer that was compressed otherwise: %+v", same)
	}
	if r.Images[0].State != diff.Changed || !r.Images[0].ConfigChanged {
		t.Errorf("image %+v", r.Images[0])
	}
	if out := text(t, r); !strings.Contains(out, "compressed otherwise") || !strings.Contains(out, "  layer - removed  sha256:") {
		t.Error(out)
	}
}

// TestImages holds which image takes the place of which: by name without tag,
// and by platform.
func TestImages(t *testing.T) {
	content := func(body string) step { return step{"RUN", tarOf(t, file{name: "f", body: body}), 0, ""} }
	source := func(arches string, bodies ...string) *bundletest.Source {
		s := bundletest.NewSource()
		var children []descriptor
		for i, arch := range strings.Fields(arches) {
			arch, variant, _ := strings.Cut(arch, "/")
			child := image(t, s, arch, "A=1", content(bodies[i]))
			if variant != "" {
				child.Platform["variant"] = variant
			}
			children = append(children, child)
		}
		if len(children) > 1 {
			attestation := image(t, s, "unknown", "B=1")
			attestation.Platform = map[string]any{"os": "unknown", "architecture": "unknown"}
			index(t, s, append(children, attestation)...)
		}
		return s
	}
	release := func(named ...any) create.Release {
		r := bundletest.Release()
		for i := 0; i < len(named); i += 2 {
			r.Images = append(r.Images, create.Image{Names: strings.Fields(named[i].(string)), Source: named[i+1].(*bundletest.Source)})
		}
		return r
	}
	r := compare(t,
		release("h:5000/web:1 h:5000/www:1", source("amd64 arm64", "a", "b"), "h:5000/two:1", source("amd64", "1"), "h:5000/two:2", source("amd64", "2"),
			"h:5000/six:1", source("amd64", "6"), "h:5000/six:2", source("amd64", "7"),
			"h:5000/old:1", source("amd64", "o"), "h:5000/moved:1", source("amd64", "m")),
		release("h:5000/web:2", source("amd64 arm64/v8 s390x", "a", "B", "c"), "h:5000/two:2", source("amd64", "1"), "h:5000/two:3", source("amd64", "3"),
			"h:5000/six:2", source("amd64", "8"), "h:5000/six:3", source("amd64", "9"),
			"h:5000/moved:2", source("amd64", "m"), "h:5000/new", source("amd64", "n")), false)
	var got []string
	for _, i := range r.Images {
		from := "-"
		if i.From != nil {
			from = i.From.Names[0]
		}
		got = append(got, fmt.Sprintf("%s %s %s %s", i.State, i.Name, i.Platform, from))
	}
	want := []string{
		"same h:5000/web linux/amd64 h:5000/web:1", "changed h:5000/web linux/arm64/v8 h:5000/web:1", "added h:5000/web linux/s390x -",
		"same h:5000/two linux/amd64 h:5000/two:1", "changed h:5000/two linux/amd64 h:5000/two:2",
		"changed h:5000/six linux/amd64 h:5000/six:2", "changed h:5000/six linux/amd64 h:5000/six:1",
		"same h:5000/moved linux/amd64 h:5000/moved:1", "added h:5000/new linux/amd64 -", "removed h:5000/old linux/amd64 h:5000/old:1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("images\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	out := text(t, r)
	for _, line := range []string{"Images    4 changed, 2 added, 1 removed, 3 the same\n", "\n          now h:5000/moved:2, was h:5000/moved:1\n"} {
		if !strings.Contains(out, line) {
			t.Errorf("%q is not in\n%s", line, out)
		}
	}
}

// TestDelta holds that a delta's own sizes are told where there is one, and
// that the estimate for one comes near them.
func TestDelta(t *testing.T) {
	kit := bundletest.NewKit(t)
	content := func(version string) create.Release {
		body := []byte(noise("large", 4<<20))
		for at := 0; at < len(body); at += 64 << 10 {
			body[at] ^= version[0]
		}
		return one(t, step{"FROM", tarOf(t, file{name: "base", body: noise("base", 1<<20)}), 0, ""},
			step{"COPY", tarOf(t, file{name: "app", body: string(body)}, file{name: version, body: noise(version, 300<<10)}), 0, ""})
	}
	first := pack(t, kit, content("1"))
	based, alone := pack(t, kit, content("2"), first), pack(t, kit, content("2"))
	options := diff.Options{Progress: progress.Discard}
	exact, err := diff.Of(t.Context(), open(t, kit, first), open(t, kit, based, first), options)
	must(t, err)
	guess, err := diff.Of(t.Context(), open(t, kit, first), open(t, kit, alone), options)
	must(t, err)
	if !exact.Delta.Exact || exact.Delta.Bytes != exact.To.Bytes || guess.Delta.Exact {
		t.Errorf("exact %+v, estimated %+v", exact.Delta, guess.Delta)
	}
	if a, b := exact.Delta.Bytes, guess.Delta.Bytes; b < a*8/10 || b > a*12/10 {
		t.Errorf("estimated %d bytes, a delta has %d", b, a)
	}
	if n := guess.Delta.NewBytes; n < 4<<20 || guess.Delta.NewBlobs != 3 {
		t.Errorf("%d blobs with %d bytes are new", guess.Delta.NewBlobs, n)
	}
	for _, r := range []*diff.Report{exact, guess} {
		layers := r.Images[0].Layers
		if layers[0].State != diff.Same || layers[0].Delta != 0 || layers[1].Delta < 300<<10 || layers[1].Delta > r.Delta.Bytes {
			t.Errorf("layers %+v", layers)
		}
	}
	if _, err := diff.Of(t.Context(), open(t, kit, alone), open(t, kit, based), options); !errors.Is(err, archive.ErrBase) {
		t.Errorf("without its base: %v, want ErrBase", err)
	}
}

// TestDeltaOnWholeLayers holds that a bundle whose layers are packed as they are
// is as good a base as one that is packed small.
func TestDeltaOnWholeLayers(t *testing.T) {
	kit := bundletest.NewKit(t)
	content := func(first string) create.Release {
		return one(t, step{"COPY", tarOf(t, file{name: "app", body: first + hex.EncodeToString([]byte(noise("app", 1<<20)))}), 0, ""})
	}
	for what, base := range map[string]*archive.Reader{"as it is": fast(t, kit, content("1")), "small": open(t, kit, pack(t, kit, content("1")))} {
		r, err := diff.Of(t.Context(), base, fast(t, kit, content("second")), diff.Options{Progress: progress.Discard})
		must(t, err)
		if d := r.Delta; d.Bytes > 20<<10 || d.NewBytes < 1<<20 {
			t.Errorf("on a bundle packed %s: %+v", what, d)
		}
	}
}

// TestUnreadableLayers holds that a layer that is no tar is only noted.
func TestUnreadableLayers(t *testing.T) {
	long := []file{}
	for i := range 70 {
		long = append(long, file{name: fmt.Sprint(i, strings.Repeat("/x", 500_000))})
	}
	good := tarOf(t, file{name: "f"})
	for what, bad := range map[string]step{
		"no tar":         {"RUN", []byte(noise("x", 5000)), 0, ""},
		"no gzip":        {"RUN", []byte("\x1f\x8bxxxxxxxxxxxxxxxxxxx"), 0, oci.TypeLayer + "+gzip"},
		"cut":            {"RUN", tarOf(t, file{name: "f", body: "1234"})[:515], 0, ""},
		"other type":     {"RUN", tarOf(t, file{name: "g"}), 0, "application/vnd.example.model"},
		"too many names": {"RUN", tarOf(t, long...), 1, ""},
	} {
		r := compare(t, one(t, step{"RUN", good, 0, ""}), one(t, bad), false)
		if f := r.Images[0].Layers[0].Files; f == nil || !strings.HasPrefix(f.Note, "no files are compared: ") || f.List != nil {
			t.Errorf("%s: %+v", what, f)
		}
		text(t, r)
	}
}

// TestDamage holds that damage is not taken for a layer that cannot be read.
func TestDamage(t *testing.T) {
	kit := bundletest.NewKit(t)
	var sides []bundletest.Files
	for _, seed := range []string{"1", "2"} {
		sides = append(sides, kit.Bundle(t, one(t, step{"RUN", tarOf(t, file{name: "f", body: noise(seed, 4<<20)}), 1, ""}), 0))
	}
	compare := func() error {
		var readers []*archive.Reader
		for _, files := range sides {
			blobs, err := archive.Open(files, kit.Allowed, bundletest.Created)
			must(t, err)
			defer blobs.Close()
			readers = append(readers, blobs)
		}
		_, err := diff.Of(t.Context(), readers[0], readers[1], diff.Options{Progress: progress.Discard})
		return err
	}
	must(t, compare())
	for i, files := range sides {
		data := files.MapFS["shop-1.0.000.vol"].Data
		data[2<<20] ^= 1
		if err := compare(); !errors.Is(err, volume.ErrDamaged) {
			t.Errorf("damage of side %d: %v, want ErrDamaged", i, err)
		}
		data[2<<20] ^= 1
	}
}

// TestHostileNames holds that no name reaches a terminal with what moves it.
func TestHostileNames(t *testing.T) {
	evil := "a\x1b[2Jb\nlayer 9 same\r\u009bc"
	var many []file
	for i := range 40 {
		many = append(many, file{name: fmt.Sprintf("%s%d/%d", evil, i, i)})
	}
	for _, to := range [][]file{{{name: evil, body: "x"}, {name: "l", kind: tar.TypeSymlink, link: evil}}, many} {
		r := compare(t, one(t, step{evil, tarOf(t, file{name: "l", kind: tar.TypeSymlink}), 0, ""}), one(t, step{evil, tarOf(t, to...), 0, ""}), false)
		out := text(t, r)
		if strings.ContainsAny(out, "\x1b\r\u009b") || strings.Contains(out, "\nlayer 9") || !strings.Contains(out, "a?[2Jb?layer 9 same??c") {
			t.Errorf("%q", out)
		}
	}
}
