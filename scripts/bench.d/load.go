//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
)

// freshRegistry starts an empty registry in the place of the last one.
func (j *journey) freshRegistry(ctx context.Context) error {
	if j.registry != nil {
		j.registry.end()
	} else {
		j.atEnd(func() error { j.registry.end(); return nil })
	}
	dir := j.file("far")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	r, err := startRegistry(ctx, dir, j.file("far/storage"))
	if err == nil {
		j.registry = r
	}
	return err
}

func (j *journey) registryServers() []*program { return []*program{j.registry.program} }

// load is unbundle load to the registry of the moment.
func (j *journey) load(bundle string, more ...string) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error {
		return m.run(ctx, j.unbundle(append([]string{"load", "-q", bundle, "--trust", j.path("allowed_signers"),
			"--to", "registry://" + j.registry.addr}, more...)...))
	}
}

func (j *journey) cranePush(ctx context.Context, m *meter) error {
	return m.run(ctx, command{args: []string{j.tool("crane"), "push", "--index", j.file("crane"), j.registry.addr + "/bench/all:1"}})
}

// loadDaemon is unbundle load to the engine of the moment.
func (j *journey) loadDaemon(bundle string) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error {
		return m.run(ctx, j.unbundle("load", "-q", bundle, "--trust", j.path("allowed_signers"),
			"--to", "docker", "--docker-host", j.engine.host()))
	}
}

// arrived asks the registry for the images by digest.
func (j *journey) arrived(ctx context.Context) error {
	for _, im := range j.images {
		reply, err := get(ctx, "http://"+j.registry.addr+"/v2/"+manifestPath(im.Name))
		if err != nil {
			return err
		}
		reply.Body.Close()
		want := im.Blobs[len(im.Blobs)-1].Digest
		if got := reply.Header.Get("Docker-Content-Digest"); got != want {
			return fmt.Errorf("%s arrived as %s, want %s", im.Name, got, want)
		}
	}
	return nil
}

func (j *journey) loadRegistry(ctx context.Context) error {
	skopeo := func(ctx context.Context, m *meter) error {
		for i, im := range j.images {
			err := m.run(ctx, command{args: []string{"skopeo", "copy", "-q", "--dest-tls-verify=false",
				fmt.Sprintf("oci:%s:i%d", j.file("oci"), i), "docker://" + j.registry.addr + "/" + im.Name}})
			if err != nil {
				return err
			}
		}
		return nil
	}
	r, err := j.hold(ctx, contest{
		title: "Load into an empty registry", reference: "crane push", rounds: j.rounds,
		note: "crane pushes all images as one index into one repository; the others, each image into its own. skopeo's layout has other digests than the release where an image has Docker's media types.",
		steps: []step{
			{name: "unbundle load", prepare: j.freshRegistry, servers: j.registryServers, run: j.load(j.file("bundle")), check: j.arrived},
			{name: "unbundle load, again", servers: j.registryServers, run: j.load(j.file("bundle"))},
			{name: "crane push", prepare: j.freshRegistry, servers: j.registryServers, run: j.cranePush},
			{name: "skopeo copy", prepare: j.freshRegistry, servers: j.registryServers, run: skopeo},
		},
	})
	if err != nil {
		return err
	}
	j.report.result(r)
	j.report.bars(
		bar{"unbundle load's time, × crane push", r.ratio("unbundle load", "crane push", wall), 1.3, ""},
		bar{"the second load's time, % of the first", 100 * r.ratio("unbundle load, again", "unbundle load", wall), 5, " %"},
		memoryBar(r, "unbundle load", 256))
	return nil
}

// freshEngine starts an empty engine in the place of the last one.
func (j *journey) freshEngine(ctx context.Context, g generation) error {
	if err := j.endEngine(); err != nil {
		return err
	}
	e, err := startEngine(ctx, g, j.tools, j.path("e"))
	if err == nil {
		j.engine = e
	}
	return err
}

func (j *journey) endEngine() error {
	if j.engine == nil {
		return nil
	}
	e := j.engine
	j.engine = nil
	return e.end()
}

func (j *journey) engineServers() []*program { return j.engine.programs }

func (j *journey) docker(args ...string) command {
	return command{args: append([]string{"docker"}, args...), env: j.engine.env()}
}

// fillEngine starts an engine that has pulled all images.
func (j *journey) fillEngine(ctx context.Context, g generation) error {
	if j.engine == nil {
		j.atEnd(j.endEngine)
	}
	if err := j.freshEngine(ctx, g); err != nil {
		return err
	}
	for _, ref := range j.refs() {
		if err := new(meter).run(ctx, j.docker("pull", "-q", ref)); err != nil {
			return err
		}
	}
	return nil
}

// save keeps what docker save makes of the images in the engine.
func (j *journey) save(ctx context.Context) error {
	return new(meter).run(ctx, j.docker(append([]string{"save", "-o", j.file("save.tar")}, j.refs()...)...))
}

func (j *journey) loadDocker(ctx context.Context) error {
	if err := j.loadEngine(ctx, classic); err != nil {
		return err
	}
	// docker pull leaves out layers that the engine has unpacked from another
	// compression, and docker save then every layer of such an image.
	if err := j.freshEngine(ctx, today); err != nil {
		return err
	}
	if err := j.loadDaemon(j.file("bundle"))(ctx, new(meter)); err != nil {
		return err
	}
	if err := j.save(ctx); err != nil {
		return err
	}
	return j.loadEngine(ctx, today)
}

func (j *journey) loadEngine(ctx context.Context, g generation) error {
	empty := func(ctx context.Context) error { return j.freshEngine(ctx, g) }
	there := func(ctx context.Context) error {
		return new(meter).run(ctx, j.docker(append([]string{"image", "inspect"}, j.refs()...)...))
	}
	load := j.loadDaemon(j.file("bundle"))
	steps := []step{
		{name: "unbundle load", prepare: empty, servers: j.engineServers, run: load, check: there},
		{name: "unbundle load, again", servers: j.engineServers, run: load},
		{name: "docker load", prepare: empty, servers: j.engineServers, check: there,
			run: func(ctx context.Context, m *meter) error {
				return m.run(ctx, j.docker("load", "-q", "-i", j.file("save.tar")))
			}},
	}
	note := "docker load reads what docker save of the same engine wrote."
	if g == classic {
		steps = append(steps,
			step{name: "zstd -d | docker load", prepare: empty, servers: j.engineServers, check: there,
				run: func(ctx context.Context, m *meter) error {
					return m.pipe(ctx, command{args: []string{"zstd", "-q", "-d", "-c", j.file("save.tar.zst")}}, j.docker("load", "-q"))
				}},
			step{name: "skopeo copy", prepare: empty, servers: j.engineServers, check: there, run: j.skopeoToEngine})
	} else {
		note += " That was filled by unbundle load: docker save leaves out images that docker pull has not fetched whole, for it had some of their layers in another compression." +
			" Debian's skopeo is too old for this engine."
	}
	r, err := j.hold(ctx, contest{
		title: "Load into " + g.String(), reference: "docker load", rounds: j.rounds, note: note, steps: steps,
	})
	if err != nil {
		return err
	}
	j.report.result(r)
	j.report.bars(
		bar{"unbundle load's time, × docker load", r.ratio("unbundle load", "docker load", wall), 1, ""},
		memoryBar(r, "unbundle load", 256))
	return j.endEngine()
}

func (j *journey) skopeoToEngine(ctx context.Context, m *meter) error {
	for i, ref := range j.refs() {
		err := m.run(ctx, command{args: []string{"skopeo", "copy", "-q", "--dest-daemon-host", j.engine.host(),
			fmt.Sprintf("oci:%s:i%d", j.file("oci"), i), "docker-daemon:" + ref}})
		if err != nil {
			return err
		}
	}
	return nil
}

// memory moves a large set that cannot be compressed, and reports memory only.
func (b *bench) memory(ctx context.Context) error {
	s, err := b.open(ctx, fmt.Sprintf("big-%d", b.bigMegabytes), "big-images", fmt.Sprintf("MB=%d", b.bigMegabytes))
	if err != nil {
		return err
	}
	j := &journey{bench: b, set: s, images: s.Images, name: "big"}
	if err := j.begin(ctx); err != nil {
		return err
	}
	size, _ := weigh(unique(s.Images))
	r, err := b.hold(ctx, contest{
		title: fmt.Sprintf("Memory with %.1f GB that cannot be compressed", float64(size)/1e9), reference: "bundle create", rounds: 1,
		steps: []step{
			{name: "bundle create", made: j.file("bundle"), run: commands(j.pack(j.file("release.yaml"), j.file("bundle")))},
			{name: "unbundle verify", run: commands(j.unbundle("verify", "-q", j.file("bundle"), "--trust", j.path("allowed_signers")))},
			{name: "unbundle load to a registry", prepare: j.freshRegistry, servers: j.registryServers, run: j.load(j.file("bundle")), check: j.arrived},
			{name: "unbundle load to Docker 20.10", servers: j.engineServers,
				prepare: func(ctx context.Context) error {
					j.atEnd(j.endEngine)
					return j.freshEngine(ctx, classic)
				},
				run: j.loadDaemon(j.file("bundle"))},
		},
	})
	if err != nil {
		return err
	}
	b.report.result(r)
	for _, s := range r.steps {
		b.report.bars(memoryBar(r, s.name, 256))
	}
	return nil
}
