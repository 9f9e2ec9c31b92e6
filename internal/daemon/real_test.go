//go:build linux

package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"airlock/internal/bundletest"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/realtest"
)

func TestMain(m *testing.M) { realtest.Main(m) }

// onEngines runs a test on an Engine of each kind.
func onEngines(t *testing.T, test func(t *testing.T, e *Engine, d *realtest.DockerDaemon)) {
	for name, start := range map[string]func(testing.TB, ...realtest.EngineOption) *realtest.DockerDaemon{
		"classic": realtest.Docker, "containerd": realtest.DockerContainerd,
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t)
			e, err := Open(t.Context(), d.Host)
			must(t, err)
			t.Cleanup(func() { e.Close() })
			if got := e.String(); !strings.Contains(got, name) {
				t.Fatalf("engine is %q, want the %s store", got, name)
			}
			test(t, e, d)
		})
	}
}

func isClassic(e *Engine) bool { _, ok := e.store.(*classic); return ok }

// idOf returns what an Engine calls an image: the config's digest of the
// manifest, or the root's.
func idOf(t *testing.T, e *Engine, s *bundletest.Source, raw []byte) string {
	t.Helper()
	if !isClassic(e) {
		return s.Root().Digest.String()
	}
	doc, err := oci.Parse(raw, oci.TypeManifest)
	must(t, err)
	return doc.Config.Digest.String()
}

func loadAll(t *testing.T, e *Engine, r *release) {
	t.Helper()
	p, err := e.plan(t.Context(), r)
	must(t, err)
	must(t, e.load(t.Context(), r, p, progress.Discard))
	must(t, e.check(t.Context(), r, p))
}

func inspectID(t *testing.T, e *Engine, name string) string {
	t.Helper()
	found, err := e.api.ImageInspect(t.Context(), name)
	if cerrdefs.IsNotFound(err) {
		return ""
	}
	must(t, err)
	return found.ID
}

func imageIDs(t *testing.T, e *Engine) []string {
	t.Helper()
	list, err := e.api.ImageList(t.Context(), client.ImageListOptions{All: true})
	must(t, err)
	var ids []string
	for _, i := range list.Items {
		ids = append(ids, i.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestEveryKindOfLayer(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, _ *realtest.DockerDaemon) {
		data := func(seed uint64) []byte { return tarOf(t, "file", noise(seed, 3<<20)) }
		empty := tarOf(t, "empty", nil)
		for i, layers := range [][]layer{
			{gzipLayer(t, data(1)), gzipLayer(t, empty)},
			{zstdLayer(t, data(2), true), zstdLayer(t, data(3), false)},
			{plainLayer(data(4)), plainLayer(empty)},
			{membersLayer(t, data(5))},
			{gzipLayer(t, empty), gzipLayer(t, data(6)), gzipLayer(t, empty)},
		} {
			s := bundletest.NewSource()
			raw, _ := addImage(t, s, "linux/amd64", layers...)
			s.SetRoot(oci.TypeManifest, manifest.DigestOf(raw))
			name := uniqueName(t, ":1")
			loadAll(t, e, packed(t, named{s, []string{name}}))
			if got, want := inspectID(t, e, name), idOf(t, e, s, raw); got != want {
				t.Errorf("image %d: %s is %q, want %q", i, name, got, want)
			}
		}
	})
}

func TestIndexAndReferrers(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, d *realtest.DockerDaemon) {
		s := bundletest.NewSource()
		base := gzipLayer(t, tarOf(t, "base", noise(10, 1<<20)))
		raw, amd := addImage(t, s, "linux/amd64", base, gzipLayer(t, tarOf(t, "amd", noise(11, 1<<20))))
		_, arm := addImage(t, s, "linux/arm64/v8", base, gzipLayer(t, tarOf(t, "arm", noise(12, 1<<20))))
		statement := []byte(`{"_type":"https://in-toto.io/Statement/v0.1"}`)
		noConfig := []byte(`{}`)
		s.Add(statement)
		s.Add(noConfig)
		attestation := marshal(t, object{
			"schemaVersion": 2, "mediaType": oci.TypeManifest,
			"config": descriptorOf(oci.TypeConfig, noConfig), "layers": []object{descriptorOf("application/vnd.in-toto+json", statement)},
		})
		s.Add(attestation)
		about := descriptorOf(oci.TypeManifest, attestation)
		about["platform"] = object{"os": "unknown", "architecture": "unknown"}
		about["annotations"] = object{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": amd["digest"]}
		index(t, s, arm, amd, about)
		signature := []byte("signature")
		s.Add(signature)
		root := s.Root()
		s.Refer(root.Digest, oci.TypeManifest, marshal(t, object{
			"schemaVersion": 2, "mediaType": oci.TypeManifest, "artifactType": "application/x-signature",
			"config": descriptorOf("application/vnd.oci.empty.v1+json", noConfig), "layers": []object{descriptorOf("application/x-signature", signature)},
			"subject": object{"mediaType": root.MediaType, "digest": root.Digest, "size": root.Size},
		}), "")

		name, before := uniqueName(t, ":1"), imageIDs(t, e)
		r := packed(t, named{s, []string{name}})
		p, err := e.plan(t.Context(), r)
		must(t, err)
		if wantNotes := map[bool]int{true: 2, false: 0}[isClassic(e)]; len(p.Notes) != wantNotes {
			t.Errorf("notes %q, want %d", p.Notes, wantNotes)
		}
		loadAll(t, e, r)
		if got, want := inspectID(t, e, name), idOf(t, e, s, raw); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
		if got := len(imageIDs(t, e)) - len(before); got != 1 {
			t.Errorf("%d more images, want 1", got)
		}
		if isClassic(e) {
			return
		}
		for _, raw := range [][]byte{signature, statement} {
			if !inContainerd(t, d, manifest.DigestOf(raw)) {
				t.Errorf("%q is not in the engine's store", raw)
			}
		}
		nothingToDo(t, e, r)
	})
}

// TestMissingContent takes a blob away under an Engine, which then still says
// that it has the image.
func TestMissingContent(t *testing.T) {
	d := realtest.DockerContainerd(t)
	e, err := Open(t.Context(), d.Host)
	must(t, err)
	defer e.Close()
	other := gzipLayer(t, tarOf(t, "f", noise(90, 1<<10)))
	s := bundletest.NewSource()
	_, amd := addImage(t, s, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(91, 1<<10))))
	_, arm := addImage(t, s, "linux/arm64", other)
	r := packed(t, named{index(t, s, amd, arm), []string{uniqueName(t, ":1")}})
	loadAll(t, e, r)
	lost := manifest.DigestOf(other.blob)
	ctr := exec.Command(realtest.Tool(t, "ctr"), "--address", d.Containerd, "--namespace", d.Namespace, "content", "rm", lost.String())
	if out, err := ctr.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p, err := e.plan(t.Context(), r)
	must(t, err)
	if len(p.Reads) != 2 || !digestsOf(p.Reads)[lost] { // and its config
		t.Errorf("reads %v, want %s and a config", p.Reads, lost)
	}
	if err := e.check(t.Context(), r, p); err == nil || !strings.Contains(err.Error(), "has not all") {
		t.Errorf("check says %v", err)
	}
	loadAll(t, e, r)
}

// TestHalfTar sends what came before a tar broke off, in a whole request.
func TestHalfTar(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, _ *realtest.DockerDaemon) {
		r := packed(t, named{single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(95, 1<<20)))), []string{uniqueName(t, ":1")}})
		p, err := e.plan(t.Context(), r)
		must(t, err)
		jobs, err := e.store.jobs(t.Context(), r, p)
		must(t, err)
		files, err := jobs[0].files(t.Context(), false, func(int) {})
		must(t, err)
		stop := errors.New("stop")
		half := newTarball(t.Context(), files, func(context.Context) error { return stop })
		before := imageIDs(t, e)
		answer, err := e.api.ImageLoad(t.Context(), whole{half}, client.ImageLoadWithQuiet(true))
		if err == nil {
			err = readAnswer(answer)
			answer.Close()
		}
		if err == nil {
			t.Error("the engine took half a tar")
		}
		if !errors.Is(half.err, stop) {
			t.Errorf("tar ended with %v", half.err)
		}
		if after := imageIDs(t, e); !slices.Equal(before, after) {
			t.Errorf("images %q before, %q after", before, after)
		}
	})
}

// whole hides that a reader failed.
type whole struct{ io.Reader }

func (w whole) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

// inContainerd asks the containerd below an Engine for a blob.
func inContainerd(t *testing.T, d *realtest.DockerDaemon, digest manifest.Digest) bool {
	t.Helper()
	ctr := realtest.Tool(t, "ctr")
	out, err := exec.Command(ctr, "--address", d.Containerd, "--namespace", d.Namespace, "content", "ls", "-q").Output()
	must(t, err)
	return strings.Contains(string(out), digest.String())
}

// nothingToDo asserts that a loaded release is not read again.
func nothingToDo(t *testing.T, e *Engine, r *release) {
	t.Helper()
	p, err := e.plan(t.Context(), r)
	must(t, err)
	if len(p.Reads) > 0 || len(p.Present) == 0 {
		t.Errorf("%d blobs to read and %d there, want none and all", len(p.Reads), len(p.Present))
	}
	for _, n := range p.Names {
		if n.Old != n.New {
			t.Errorf("%s stands for %s, want %s", n.Name, n.Old, n.New)
		}
	}
	w, before := watch(r), imageIDs(t, e)
	must(t, e.load(t.Context(), r, p, progress.Discard))
	must(t, e.check(t.Context(), r, p))
	for _, d := range append(p.Present, p.Reads...) {
		if n := w.times(d.Digest); n > 0 {
			t.Errorf("blob %s was opened %d times, want never", d.Digest, n)
		}
	}
	if after := imageIDs(t, e); !slices.Equal(before, after) {
		t.Errorf("images %q before, %q after", before, after)
	}
}

func TestSharedLayersAndTwoNames(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, _ *realtest.DockerDaemon) {
		base := gzipLayer(t, tarOf(t, "base", noise(20, 4<<20)))
		one := single(t, "linux/amd64", base, gzipLayer(t, tarOf(t, "one", noise(21, 1<<20))))
		two := single(t, "linux/amd64", base, gzipLayer(t, tarOf(t, "two", noise(22, 2<<20))))
		names := []string{uniqueName(t, ":1"), uniqueName(t, ":2"), uniqueName(t, ":3")}
		r := packed(t, named{one, names[:2]}, named{two, names[2:]})
		w := watch(r)
		p, err := e.plan(t.Context(), r)
		must(t, err)
		must(t, e.load(t.Context(), r, p, progress.Discard))
		must(t, e.check(t.Context(), r, p))
		if n := w.times(manifest.DigestOf(base.blob)); n != 1 {
			t.Errorf("the shared layer was opened %d times, want once", n)
		}
		a, b, c := inspectID(t, e, names[0]), inspectID(t, e, names[1]), inspectID(t, e, names[2])
		if a == "" || a != b || c == "" || a == c {
			t.Errorf("names stand for %q, %q and %q", a, b, c)
		}
		r.blobs = w.blobs
		nothingToDo(t, e, r)

		// A third image on the same base: its base is there.
		three := single(t, "linux/amd64", base, gzipLayer(t, tarOf(t, "three", noise(23, 1<<20))))
		r = packed(t, named{three, []string{uniqueName(t, ":1")}})
		p, err = e.plan(t.Context(), r)
		must(t, err)
		there := digestsOf(p.Present)[manifest.DigestOf(base.blob)]
		if there != isClassic(e) {
			t.Errorf("base of the third image present: %t", there)
		}
		w = watch(r)
		must(t, e.load(t.Context(), r, p, progress.Discard))
		must(t, e.check(t.Context(), r, p))
		if n := w.times(manifest.DigestOf(base.blob)); there && n > 0 {
			t.Errorf("base of the third image was opened %d times, want never", n)
		}
	})
}

func TestNameWithoutTag(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, _ *realtest.DockerDaemon) {
		only := single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(30, 1<<10))))
		both := single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(31, 1<<10))))
		names := []string{uniqueName(t, ""), uniqueName(t, ""), uniqueName(t, ":1")}
		r := packed(t, named{only, names[:1]}, named{both, names[1:]})
		p, err := e.plan(t.Context(), r)
		must(t, err)
		loadAll(t, e, r)
		if isClassic(e) {
			if len(p.Names) != 1 || len(p.Notes) != 2 {
				t.Errorf("names %v and notes %q, want 1 and 2", p.Names, p.Notes)
			}
			return
		}
		for i, s := range []*bundletest.Source{only, both} {
			digested := names[i] + "@" + s.Root().Digest.String()
			if got := inspectID(t, e, digested); got != s.Root().Digest.String() {
				t.Errorf("%s is %q", digested, got)
			}
		}
		nothingToDo(t, e, r)
	})
}

func TestBadImageIsRefused(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, _ *realtest.DockerDaemon) {
		wrong := gzipLayer(t, tarOf(t, "f", noise(40, 2<<20)))
		wrong.diffID = manifest.DigestOf([]byte("another layer"))
		s, name := single(t, "linux/amd64", wrong), uniqueName(t, ":1")
		before := imageIDs(t, e)
		r := packed(t, named{s, []string{name}})
		p, err := e.plan(t.Context(), r)
		must(t, err)
		err = e.load(t.Context(), r, p, progress.Discard)
		if !errors.Is(err, ErrRejected) {
			t.Fatalf("loading: %v, want a rejection", err)
		}
		if after := imageIDs(t, e); !slices.Equal(before, after) {
			t.Errorf("images %q before, %q after", before, after)
		}
		if id := inspectID(t, e, name); id != "" {
			t.Errorf("%s is %s", name, id)
		}
		if e.check(t.Context(), r, p) == nil {
			t.Error("check finds the image")
		}
	})
}

func TestNamesStayIfTheLastImageFails(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, _ *realtest.DockerDaemon) {
		name, fresh := uniqueName(t, ":1"), uniqueName(t, ":1")
		old := single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(50, 1<<20))))
		loadAll(t, e, packed(t, named{old, []string{name}}))
		oldID := inspectID(t, e, name)

		good := single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(51, 2<<20))))
		wrong := gzipLayer(t, tarOf(t, "f", noise(52, 1<<10)))
		wrong.diffID = manifest.DigestOf([]byte("another layer"))
		bad := single(t, "linux/amd64", wrong)
		r := packed(t, named{good, []string{name}}, named{bad, []string{fresh}})
		p, err := e.plan(t.Context(), r)
		must(t, err)
		if moved := slices.ContainsFunc(p.Names, load.Name.Moves); !moved {
			t.Errorf("plan says no name moves: %v", p.Names)
		}
		if err := e.load(t.Context(), r, p, progress.Discard); err == nil {
			t.Fatal("a bad image was loaded")
		}
		if got := inspectID(t, e, name); got != oldID {
			t.Errorf("%s is %q, want still %q", name, got, oldID)
		}
		if got := inspectID(t, e, fresh); got != "" {
			t.Errorf("%s is %q, want nothing", fresh, got)
		}

		// Without the bad one the name moves.
		loadAll(t, e, packed(t, named{good, []string{name}}))
		if got := inspectID(t, e, name); got == oldID {
			t.Errorf("%s is still %q", name, got)
		}
	})
}

func TestNameMovedMeanwhile(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, d *realtest.DockerDaemon) {
		name, other := uniqueName(t, ":1"), uniqueName(t, ":1")
		theirs := single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(60, 1<<10))))
		loadAll(t, e, packed(t, named{theirs, []string{other}}))
		r := packed(t, named{single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(61, 1<<10)))), []string{name}})
		p, err := e.plan(t.Context(), r)
		must(t, err)
		d.Run("tag", other, name)
		if err := e.load(t.Context(), r, p, progress.Discard); err == nil || !strings.Contains(err.Error(), "another image") {
			t.Errorf("loading: %v, want an error about the name", err)
		}
		if got, want := inspectID(t, e, name), inspectID(t, e, other); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	})
}

// failing is a store that cannot set one name.
type failing struct {
	store
	bad    string
	before func() // nil, or called before it fails
}

func (f failing) name(ctx context.Context, r *release, n load.Name) error {
	if n.Name == f.bad {
		if f.before != nil {
			f.before()
		}
		return errors.New("no such luck")
	}
	return f.store.name(ctx, r, n)
}

func TestNamesGoBack(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, _ *realtest.DockerDaemon) {
		names := []string{uniqueName(t, ":1"), uniqueName(t, ":1"), uniqueName(t, ":1")}
		old := single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(65, 1<<10))))
		loadAll(t, e, packed(t, named{old, names[:1]}))
		oldID := inspectID(t, e, names[0])
		r := packed(t, named{single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(66, 1<<10)))), names})
		p, err := e.plan(t.Context(), r)
		must(t, err)
		e.store = failing{store: e.store, bad: names[2]}
		if err := e.load(t.Context(), r, p, progress.Discard); err == nil || !strings.Contains(err.Error(), "no such luck") {
			t.Errorf("loading: %v", err)
		}
		if a, b, c := inspectID(t, e, names[0]), inspectID(t, e, names[1]), inspectID(t, e, names[2]); a != oldID || b != "" || c != "" {
			t.Errorf("names stand for %q, %q and %q, want %q and nothing", a, b, c, oldID)
		}
	})
}

// TestNamesThatCannotGoBack holds that an error says which names were set and
// which were not, if the image that had one is gone when it is to go back.
func TestNamesThatCannotGoBack(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, _ *realtest.DockerDaemon) {
		names := []string{uniqueName(t, ":1"), uniqueName(t, ":1"), uniqueName(t, ":1")}
		loadAll(t, e, packed(t, named{single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(67, 1<<10)))), names[:1]}))
		oldID := inspectID(t, e, names[0])
		r := packed(t, named{single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(68, 1<<10)))), names})
		p, err := e.plan(t.Context(), r)
		must(t, err)
		e.store = failing{e.store, names[2], func() {
			e.api.ImageRemove(t.Context(), oldID, client.ImageRemoveOptions{})
		}}
		err = e.load(t.Context(), r, p, progress.Discard)
		var partly *load.PartlyNamedError
		if !errors.As(err, &partly) || !slices.Equal(partly.Set, names[:1]) || !slices.Equal(partly.Unset, names[1:]) {
			t.Fatalf("loading: %v, want %q set and %q not", err, names[:1], names[1:])
		}
		if a, b := inspectID(t, e, names[0]), inspectID(t, e, names[1]); a != p.Names[0].New.String() || b != "" {
			t.Errorf("names stand for %q and %q, want %q and nothing", a, b, p.Names[0].New)
		}
	})
}

// slowly is a release whose blobs come a few bytes at a time.
type slowly struct{ blobs }

func (s *slowly) Open(d oci.Descriptor) (io.ReadCloser, error) {
	r, err := s.blobs.Open(d)
	return slowReader{r}, err
}

type slowReader struct{ io.ReadCloser }

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return r.ReadCloser.Read(p[:min(len(p), 1<<10)])
}

func TestInterruptEndsAtOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, _ *realtest.DockerDaemon) {
		s := single(t, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(70, 8<<20))))
		r := packed(t, named{s, []string{uniqueName(t, ":1")}})
		p, err := e.plan(t.Context(), r)
		must(t, err)
		before := imageIDs(t, e)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		start := time.Now()
		r.blobs = &slowly{r.blobs}
		if err := e.load(ctx, r, p, progress.Discard); !errors.Is(err, context.Canceled) {
			t.Errorf("loading: %v, want context.Canceled", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %s to end", took)
		}
		if after := imageIDs(t, e); !slices.Equal(before, after) {
			t.Errorf("images %q before, %q after", before, after)
		}
	})
}

func TestLoadedImageRuns(t *testing.T) {
	const greeting = "hello from the image"
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/main.go", []byte("package main\n\nfunc main() { print(\""+greeting+"\") }\n"), 0o644))
	build := exec.Command("go", "build", "-o", dir+"/program", dir+"/main.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	data, err := os.ReadFile(dir + "/program")
	must(t, err)
	onEngines(t, func(t *testing.T, e *Engine, d *realtest.DockerDaemon) {
		name := uniqueName(t, ":1")
		s := single(t, "linux/"+e.platform.Architecture, gzipLayer(t, tarOf(t, "program", data)))
		loadAll(t, e, packed(t, named{s, []string{name}}))
		out, err := d.Command("run", "--rm", "--network=none", name).CombinedOutput()
		if err != nil || !strings.Contains(string(out), greeting) {
			t.Errorf("the container printed %q: %v", out, err)
		}
	})
}

func TestSave(t *testing.T) {
	onEngines(t, func(t *testing.T, e *Engine, _ *realtest.DockerDaemon) {
		name := uniqueName(t, ":1")
		s := bundletest.NewSource()
		raw, _ := addImage(t, s, "linux/amd64", gzipLayer(t, tarOf(t, "f", noise(80, 1<<20))))
		s.SetRoot(oci.TypeManifest, manifest.DigestOf(raw))
		loadAll(t, e, packed(t, named{s, []string{name}}))
		dir := t.TempDir()
		for _, asked := range []string{name, inspectID(t, e, name)} {
			saved, err := e.Save(t.Context(), asked, dir, progress.Discard)
			must(t, err)
			if saved.Size < 1<<20 || saved.ID.String() != inspectID(t, e, name) {
				t.Errorf("%s: %d bytes of %s", asked, saved.Size, saved.ID)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%v, %v in the folder", left, err)
			}
			image, err := saved.Image()
			must(t, err)
			root, err := image.Resolve(t.Context())
			must(t, err)
			document, err := image.Document(t.Context(), root)
			must(t, err)
			if got := idOf(t, e, s, document); got != saved.ID.String() || saved.Documents && root.Digest != saved.ID {
				t.Errorf("%s: saved %s, its root is %s", asked, saved.ID, root.Digest)
			}
			must(t, saved.Close())
		}
		if _, err := e.Save(t.Context(), uniqueName(t, ":1"), dir, progress.Discard); err == nil {
			t.Error("saved an image that is not there")
		}
	})
}
