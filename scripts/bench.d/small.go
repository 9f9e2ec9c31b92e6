//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// An update is a release that is packed small for a far side that holds others.
type update struct {
	name   string
	what   string
	images []image
	holds  []image // of the base
	base   string  // name of the base's bundle; empty: none
	limit  float64 // percent of the new layers' bytes; 0: none
}

// small measures releases that are packed small, and updates of them.
func (b *bench) small(ctx context.Context) error {
	s, err := b.open(ctx, "small", "small-images")
	if err != nil {
		return err
	}
	j := &journey{bench: b, set: s, name: "small", images: s.tagged("v1")}
	b.report.heading(2, "Packing small")
	b.report.images(s.Images)
	if err := j.begin(ctx); err != nil {
		return err
	}
	if err := j.firstShipment(ctx); err != nil {
		return err
	}
	if err := j.updates(ctx); err != nil {
		return err
	}
	return j.loadSmall(ctx)
}

// replaced returns the images, those of which others have the repository being
// replaced by them.
func replaced(images, others []image) []image {
	all := slices.Clone(images)
	for i, im := range all {
		repository, _, _ := strings.Cut(im.Name, ":")
		for _, other := range others {
			if strings.HasPrefix(other.Name, repository+":") {
				all[i] = other
			}
		}
	}
	return all
}

// only returns the images of one repository.
func only(images []image, repository string) []image {
	return slices.DeleteFunc(slices.Clone(images), func(im image) bool { return !strings.HasPrefix(im.Name, repository+":") })
}

// layers drops the blobs that are not layers.
func layers(blobs map[string]blob) map[string]blob {
	all := maps.Clone(blobs)
	maps.DeleteFunc(all, func(_ string, b blob) bool { return !b.Layer })
	return all
}

// firstShipment packs v1 for a far side that has nothing.
func (j *journey) firstShipment(ctx context.Context) error {
	if err := j.fillEngine(ctx, classic); err != nil {
		return err
	}
	yaml := j.file("release.yaml")
	create := func(name, out string, more ...string) step {
		return step{name: name, prepare: fresh(j.file(out)), made: j.file(out), run: commands(j.pack(yaml, j.file(out), more...))}
	}
	r, err := j.hold(ctx, contest{
		title: "First shipment: v1", reference: "crane pull", rounds: j.rounds,
		steps: []step{
			create("bundle create --pack small", "v1", "--pack", "small"),
			create("bundle create", "bundle"),
			{name: "crane pull", prepare: fresh(j.file("crane")), made: j.file("crane"), run: commands(j.cranePull())},
			{name: "skopeo sync to dir:", prepare: fresh(j.file("dir")), made: j.file("dir"), run: commands(j.skopeoSync())},
			j.saveZstd(),
		},
	})
	if err != nil {
		return err
	}
	j.report.result(r)
	size, raw := weigh(layers(unique(j.images)))
	name := "bundle create --pack small"
	j.report.text("\n%s packs %.1f MB of uncompressed layers a second of processor time.", name, float64(raw)/1e6/r.median(name, cpu))
	j.report.bars(
		bar{"the bundle's bytes, % of the layers", 100 * r.median(name, made) / float64(size), 65, " %"},
		memoryBar(r, name, 1024))
	return j.endEngine()
}

// updates packs what comes after v1.
func (j *journey) updates(ctx context.Context) error {
	v1, v2 := j.images, j.set.tagged("v2")
	goV1 := only(v1, "small/go")
	all := []update{
		{name: "v2", what: "v2, base v1: all is refreshed", images: v2, holds: v1, base: "v1", limit: 13},
		{name: "app", what: "v1.1, base v1: an application", images: replaced(v1, j.set.tagged("v1.1")), holds: v1, base: "v1", limit: 4},
		{name: "go-v1", what: "helm 3.18.3, no base", images: goV1},
		{name: "go-v2", what: "helm 3.18.4, base helm 3.18.3", images: only(v2, "small/go"), holds: goV1, base: "go-v1", limit: 2},
		{name: "same", what: "v1 again, base v1", images: v1, holds: v1, base: "v1"},
	}
	var rows [][]string
	var bars []bar
	for _, u := range all {
		row, more, err := j.update(ctx, u)
		if err != nil {
			return err
		}
		rows, bars = append(rows, row), append(bars, more...)
	}
	j.report.heading(3, "Updates")
	j.report.table([]string{"release", "MB of layers", "new layers MB", "shipped MB", "% of new", "wall s", "CPU s", "MB/s a core", "peak MiB"}, rows)
	j.report.text("\n“New layers” is what a tool ships that leaves out the layers that the far side has, as crane, skopeo and docker push do between registries."+
		"\nMB/s: uncompressed bytes of new layers by processor time. %s; load average %.1f.", plural(j.rounds, "round"), loadAverage())
	j.report.bars(bars...)
	return nil
}

func (j *journey) update(ctx context.Context, u update) (row []string, bars []bar, err error) {
	yaml := j.file(u.name + ".yaml")
	if err := j.lock(ctx, yaml, "1.0.0-"+u.name, u.images); err != nil {
		return nil, nil, err
	}
	more := []string{"--pack", "small"}
	if u.base != "" {
		more = append(more, "--base", j.file(u.base), "--trust", j.path("allowed_signers"))
	}
	r, err := j.hold(ctx, contest{title: u.what, rounds: j.rounds, reference: "bundle create", steps: []step{
		{name: "bundle create", prepare: fresh(j.file(u.name)), made: j.file(u.name), run: commands(j.pack(yaml, j.file(u.name), more...))},
	}})
	if err != nil {
		return nil, nil, err
	}
	shipped := r.median("bundle create", made)
	total, _ := weigh(layers(unique(u.images)))
	added, raw := weigh(without(layers(unique(u.images)), unique(u.holds)))
	share, speed := nan, nan
	if added > 0 {
		share, speed = 100*shipped/float64(added), float64(raw)/1e6/r.median("bundle create", cpu)
	}
	if u.limit > 0 {
		bars = append(bars, bar{u.what + ", % of the new layers", share, u.limit, " %"})
	}
	if added == 0 {
		bars = append(bars, bar{u.what + ", bytes", shipped, 100_000, " bytes"})
	}
	bars = append(bars, memoryBar(r, "bundle create", 1024))
	bars[len(bars)-1].what = u.what + ", memory"
	return []string{u.what, megabytes(float64(total)), megabytes(float64(added)), fmt.Sprintf("%.3f", shipped/1e6), number(share),
		number(r.median("bundle create", wall)), number(r.median("bundle create", cpu)), number(speed), mebibytes(r.peak("bundle create"))}, bars, nil
}

// loadSmall loads what was packed small.
func (j *journey) loadSmall(ctx context.Context) error {
	v1, v2 := j.images, j.set.tagged("v2")
	arrived := func(images []image) func(context.Context) error {
		return func(ctx context.Context) error {
			j.images = images
			return j.arrived(ctx)
		}
	}
	r, err := j.hold(ctx, contest{
		title: "Load into a registry", reference: "crane push of v1", rounds: j.rounds,
		note: "v2 is loaded into the registry that has v1. Every gzip layer is made again, bit for bit.",
		steps: []step{
			{name: "crane push of v1", prepare: j.freshRegistry, servers: j.registryServers, run: j.cranePush},
			{name: "unbundle load of v1, packed fast", prepare: j.freshRegistry, servers: j.registryServers, run: j.load(j.file("bundle")), check: arrived(v1)},
			{name: "unbundle load of v1, packed small", prepare: j.freshRegistry, servers: j.registryServers, run: j.load(j.file("v1")), check: arrived(v1)},
			{name: "unbundle load of v2, base v1", servers: j.registryServers, run: j.load(j.file("v2"), "--base", j.file("v1")), check: arrived(v2)},
		},
	})
	if err != nil {
		return err
	}
	j.report.result(r)
	var bars []bar
	for i, images := range [][]image{v1, v2} {
		_, raw := weigh(layers(unique(images)))
		name := r.steps[2+i].name
		j.report.text("\n%s: %.1f MB of uncompressed layers a second of processor time.", name, float64(raw)/1e6/r.median(name, cpu))
		bars = append(bars, memoryBar(r, name, 256))
	}
	j.report.bars(bars...)
	return j.loadSmallDocker(ctx, v1)
}

// loadSmallDocker loads v1 into an engine, which needs no gzip.
func (j *journey) loadSmallDocker(ctx context.Context, images []image) error {
	j.images = images
	j.atEnd(j.endEngine)
	empty := func(ctx context.Context) error { return j.freshEngine(ctx, classic) }
	r, err := j.hold(ctx, contest{
		title: "Load into " + classic.String() + ": v1", reference: "zstd -d | docker load", rounds: j.rounds,
		steps: []step{
			{name: "unbundle load, packed small", prepare: empty, servers: j.engineServers, run: j.loadDaemon(j.file("v1"))},
			{name: "unbundle load, packed fast", prepare: empty, servers: j.engineServers, run: j.loadDaemon(j.file("bundle"))},
			{name: "zstd -d | docker load", prepare: empty, servers: j.engineServers,
				run: func(ctx context.Context, m *meter) error {
					return m.pipe(ctx, command{args: []string{"zstd", "-q", "-d", "-c", j.file("save.tar.zst")}}, j.docker("load", "-q"))
				}},
		},
	})
	if err != nil {
		return err
	}
	j.report.result(r)
	j.report.bars(memoryBar(r, "unbundle load, packed small", 256))
	return j.endEngine()
}
