//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// spine measures the whole journey of a release that is packed as it is.
func (b *bench) spine(ctx context.Context) error {
	s, err := b.open(ctx, fmt.Sprintf("spine-%d", b.megabytes), "spine-images", fmt.Sprintf("MB=%d", b.megabytes))
	if err != nil {
		return err
	}
	j := &journey{bench: b, set: s, images: s.Images}
	b.report.heading(2, "Moving a release")
	b.report.images(s.Images)
	for _, part := range []func(context.Context) error{
		j.begin, j.create, j.verify, j.loadRegistry, j.loadDocker,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if b.bigMegabytes == 0 {
		return nil
	}
	return b.memory(ctx)
}

// images writes what a set holds.
func (p report) images(images []image) {
	var rows [][]string
	for _, im := range images {
		size, raw := weigh(unique([]image{im}))
		rows = append(rows, []string{im.Name + ": " + im.What, im.Tool, fmt.Sprint(len(im.Blobs) - 2), megabytes(float64(size)), megabytes(float64(raw))})
	}
	size, raw := weigh(unique(images))
	rows = append(rows, []string{"all, each blob once", "", fmt.Sprint(len(unique(images)) - 2*len(images)), megabytes(float64(size)), megabytes(float64(raw))})
	p.table([]string{"image", "pushed by", "layers", "MB", "MB uncompressed"}, rows)
}

// A journey is a release that is packed, proved and loaded.
type journey struct {
	*bench
	set    *set
	images []image
	name   string // of its folder

	registry *registry // that is loaded
	engine   *engine   // that is saved from or loaded
}

func (j *journey) file(name string) string { return j.path("spine"+j.name, name) }

func (j *journey) refs() []string {
	var all []string
	for _, im := range j.images {
		all = append(all, j.set.ref(im))
	}
	return all
}

// begin makes a key and pins the release.
func (j *journey) begin(ctx context.Context) error {
	if err := os.MkdirAll(j.file(""), 0o700); err != nil {
		return err
	}
	if err := j.key(ctx); err != nil {
		return err
	}
	return j.lock(ctx, j.file("release.yaml"), "1.0.0", j.images)
}

func (b *bench) key(ctx context.Context) error {
	if _, err := os.Stat(b.path("key")); err == nil {
		return nil
	}
	c := b.bundle("keygen", "--key", b.path("key"), "--as", "bench")
	c.out = b.path("allowed_signers")
	return new(meter).run(ctx, c)
}

// lock writes a release of images, and its pins beside it.
func (j *journey) lock(ctx context.Context, file, version string, images []image) error {
	text := "release: bench\nversion: " + version + "\nimages:\n"
	for _, im := range images {
		text += "  - image: " + j.set.ref(im) + "\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	return new(meter).run(ctx, j.bundle("lock", "-f", file))
}

func (j *journey) pack(file, out string, more ...string) command {
	return j.bundle(append([]string{"create", "-q", "-f", file, "--key", j.path("key"), "--as", "bench", "-o", out}, more...)...)
}

// fresh removes what an earlier round made.
func fresh(names ...string) func(context.Context) error {
	return func(context.Context) error {
		var errs []error
		for _, name := range names {
			errs = append(errs, os.RemoveAll(name))
		}
		return errors.Join(errs...)
	}
}

// commands is a step's run of commands one after the other.
func commands(all ...command) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error { return m.run(ctx, all...) }
}

func (j *journey) create(ctx context.Context) error {
	if err := j.fillEngine(ctx, classic); err != nil {
		return err
	}
	source := func() []*program { return []*program{j.set.registry.program} }
	crane := func(name string, more func(dir string) func(context.Context, *meter) error) step {
		dir := j.file("crane")
		return step{name: name, prepare: fresh(dir), made: dir, servers: source, run: func(ctx context.Context, m *meter) error {
			if err := m.run(ctx, j.cranePull()); err != nil {
				return err
			}
			return more(dir)(ctx, m)
		}}
	}
	flush := func(dir string) command { return command{args: []string{"sync", "-f", dir}} }
	r, err := j.hold(ctx, contest{
		title: "Pack: from a registry to a folder", reference: "crane pull", rounds: j.rounds,
		note: "bundle create ends when the bundle is durable on the disk; crane and skopeo leave what they wrote to the page cache.",
		steps: []step{
			{name: "bundle create", prepare: fresh(j.file("bundle")), made: j.file("bundle"), servers: source,
				run: commands(j.pack(j.file("release.yaml"), j.file("bundle")))},
			crane("crane pull", func(string) func(context.Context, *meter) error { return commands() }),
			crane("crane pull, sync", func(dir string) func(context.Context, *meter) error { return commands(flush(dir)) }),
			crane("crane pull, sync, read back", func(dir string) func(context.Context, *meter) error {
				return func(ctx context.Context, m *meter) error {
					if err := m.run(ctx, flush(dir)); err != nil {
						return err
					}
					if err := forgetFiles(dir); err != nil {
						return err
					}
					return m.run(ctx, command{args: []string{"sh", "-c", "exec sha256sum " + dir + "/blobs/sha256/*"}})
				}
			}),
			{name: "skopeo copy to oci:", prepare: fresh(j.file("oci")), made: j.file("oci"), servers: source,
				run: commands(j.skopeoPull()...)},
			{name: "skopeo sync to dir:", prepare: fresh(j.file("dir")), made: j.file("dir"), servers: source,
				run: commands(j.skopeoSync())},
			j.saveZstd(),
		},
	})
	if err != nil {
		return err
	}
	j.report.result(r)
	blobs, _ := weigh(unique(j.images))
	j.report.bars(
		bar{"bundle create's time, × crane pull", r.ratio("bundle create", "crane pull", wall), 1.3, ""},
		bar{"the bundle's bytes, × the blobs", r.median("bundle create", made) / float64(blobs), 1.01, ""},
		memoryBar(r, "bundle create", 256))
	return j.save(ctx)
}

func memoryBar(r *result, name string, limit float64) bar {
	return bar{name + "'s memory", float64(r.peak(name)) / (1 << 20), limit, " MiB"}
}

// saveZstd is the step that saves the engine's images, compressed.
func (j *journey) saveZstd() step {
	zst := j.file("save.tar.zst")
	return step{name: "docker save | zstd -3 -T2", prepare: fresh(zst), made: zst, servers: j.engineServers,
		run: func(ctx context.Context, m *meter) error {
			return m.pipe(ctx, j.docker(append([]string{"save"}, j.refs()...)...),
				command{args: []string{"zstd", "-q", "-3", "-T2", "-o", zst}})
		}}
}

// cranePull copies all images into the layout that cranePush pushes.
func (j *journey) cranePull() command {
	return command{args: append(append([]string{j.tool("crane"), "pull", "--format", "oci"}, j.refs()...), j.file("crane"))}
}

// skopeoPull copies all images into one layout, which holds each blob once.
func (j *journey) skopeoPull() []command {
	var all []command
	for i, ref := range j.refs() {
		all = append(all, command{args: []string{"skopeo", "copy", "-q", "--src-tls-verify=false",
			"docker://" + ref, fmt.Sprintf("oci:%s:i%d", j.file("oci"), i)}})
	}
	return all
}

func (j *journey) skopeoSync() command {
	text := j.set.registry.addr + ":\n  tls-verify: false\n  images:\n"
	for _, im := range j.images {
		repository, tag, _ := strings.Cut(im.Name, ":")
		text += "    " + repository + ": [\"" + tag + "\"]\n"
	}
	// An error shows when skopeo finds no file.
	_ = os.WriteFile(j.file("sync.yaml"), []byte(text), 0o600)
	return command{args: []string{"skopeo", "sync", "--src", "yaml", "--dest", "dir", j.file("sync.yaml"), j.file("dir")}}
}

func (j *journey) verify(ctx context.Context) error {
	bundle := j.file("bundle")
	mine := j.unbundle("verify", "-q", bundle, "--trust", j.path("allowed_signers"))
	theirs := command{args: []string{"sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"}, dir: bundle}
	cold := func(context.Context) error { return forgetFiles(bundle) }
	r, err := j.hold(ctx, contest{
		title: "Verify a bundle", reference: "sha256sum -c", rounds: j.rounds,
		note: "“From the disk”: the page cache was emptied of the bundle before.",
		steps: []step{
			{name: "unbundle verify", run: commands(mine)},
			{name: "sha256sum -c", run: commands(theirs)},
			{name: "unbundle verify, from the disk", prepare: cold, run: commands(mine)},
			{name: "sha256sum -c, from the disk", prepare: cold, run: commands(theirs)},
		},
	})
	if err != nil {
		return err
	}
	j.report.result(r)
	j.report.bars(memoryBar(r, "unbundle verify", 256))
	return nil
}
