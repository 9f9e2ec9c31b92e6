//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rates is a list of rates in bytes a second, as a flag has it in MB/s.
type rates []int64

func (r *rates) String() string {
	var all []string
	for _, rate := range *r {
		all = append(all, strconv.FormatInt(rate/1e6, 10))
	}
	return strings.Join(all, ",")
}

// Set implements flag.Value.
func (r *rates) Set(text string) error {
	*r = nil
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseInt(field, 10, 32)
		if err != nil || n < 1 {
			return fmt.Errorf("rate %q: want a whole number of MB/s", field)
		}
		*r = append(*r, n*1e6)
	}
	return nil
}

// crossing is a release and its update that go to an SFTP server across a link
// and from there into a registry.
type crossing struct {
	*journey
	server *sshServer
	rate   int64
	v1, v2 []image
	far    map[string][]float64 // seconds of the load, by the name of the step
}

// slowLink is below which rate fewer images cross, lest it takes all day.
const slowLink = 10e6

// link measures what each way of packing takes from end to end.
func (b *bench) link(ctx context.Context) error {
	s, err := b.open(ctx, "small", "small-images")
	if err != nil {
		return err
	}
	j := &journey{bench: b, set: s, name: "link"}
	b.report.heading(2, "Across a link")
	b.report.text("From a registry, across a link of the rate named to OpenSSH's server, from there into a registry: bundle create -o sftp://…, then unbundle load." +
		" The update goes where v1 is: its base is what --pack auto made of v1 for that link. The peer: crane pull, sftp put, crane push.")
	if err := errors.Join(os.MkdirAll(j.file(""), 0o700), j.key(ctx)); err != nil {
		return err
	}
	server, err := b.sshd(ctx)
	if err != nil {
		return err
	}
	if err := server.moveAway(); err != nil {
		return err
	}
	for _, rate := range b.links {
		server.line.Throttle(rate)
		c := &crossing{journey: j, server: server, rate: rate, far: map[string][]float64{}}
		if err := c.measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *crossing) measure(ctx context.Context) error {
	c.v1, c.v2 = c.set.tagged("v1"), c.set.tagged("v2")
	repositories := []string{"small/base", "small/go", "small/web"}
	if c.rate < slowLink {
		repositories = repositories[:2]
	}
	for _, images := range []*[]image{&c.v1, &c.v2} {
		*images = slices.DeleteFunc(*images, func(im image) bool {
			repository, _, _ := strings.Cut(im.Name, ":")
			return !slices.Contains(repositories, repository)
		})
	}
	if err := errors.Join(c.lock(ctx, c.file("v1.yaml"), "1.0.0", c.v1), c.lock(ctx, c.file("v2.yaml"), "2.0.0", c.v2)); err != nil {
		return err
	}
	size, raw := weigh(unique(c.v1))
	c.report.heading(3, fmt.Sprintf("%d MB/s: %s of %.0f MB, %.0f MB uncompressed", c.rate/1e6, plural(len(c.v1), "image"), float64(size)/1e6, float64(raw)/1e6))
	if err := c.first(ctx); err != nil {
		return err
	}
	return c.update(ctx)
}

// first brings v1 to a far side that has nothing.
func (c *crossing) first(ctx context.Context) error {
	c.images = c.v1
	steps := []step{c.peer(c.freshRegistry)}
	for _, pack := range []string{"fast", "small", "auto"} {
		steps = append(steps, c.across(pack, "v1.yaml", "v1-"+pack, c.freshRegistry))
	}
	return c.compare(ctx, "v1, a first shipment", steps)
}

// update brings v2 to a far side that has v1.
func (c *crossing) update(ctx context.Context) error {
	base := c.file("v1-auto")
	holding := func(ctx context.Context) error {
		c.images = c.v1
		if err := c.freshRegistry(ctx); err != nil {
			return err
		}
		err := c.load(base)(ctx, new(meter))
		c.images = c.v2
		return err
	}
	steps := []step{c.peer(holding)}
	for _, pack := range []string{"fast", "small", "auto"} {
		var more []string
		if pack != "fast" {
			more = []string{"--base", base}
		}
		steps = append(steps, c.across(pack, "v2.yaml", "v2-"+pack, holding, more...))
	}
	return c.compare(ctx, "v2, base v1", steps)
}

// across is the step that packs a release, sends and loads it.
func (c *crossing) across(pack, yaml, out string, prepare func(context.Context) error, base ...string) step {
	dir, name := c.file(out), "--pack "+pack
	more := []string{"--pack", pack, "--link", fmt.Sprintf("%dMB/s", c.rate/1e6), "--identity", c.server.identity()}
	if len(base) > 0 {
		more = append(append(more, base...), "--trust", c.path("allowed_signers"))
	}
	create := c.pack(c.file(yaml), c.server.url(dir), more...)
	create.env = c.server.env()
	create.dir = c.file("")
	return step{name: name, made: dir, check: c.arrived,
		prepare: func(ctx context.Context) error {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return prepare(ctx)
		},
		run: c.twice(name, commands(create), func(ctx context.Context, m *meter) error { return c.load(dir, base...)(ctx, m) }),
	}
}

// peer is the step that does the same with other tools.
func (c *crossing) peer(prepare func(context.Context) error) step {
	far, name := c.file("crane-far"), "crane, sftp, crane"
	near := func(ctx context.Context, m *meter) error {
		return m.run(ctx, c.cranePull(), c.server.sftp("put -r", c.file("crane"), far))
	}
	push := func(ctx context.Context, m *meter) error {
		return m.run(ctx, command{args: []string{c.tool("crane"), "push", "--index", far, c.registry.addr + "/bench/all:1"}})
	}
	return step{name: name, made: far, run: c.twice(name, near, push),
		prepare: func(ctx context.Context) error {
			if err := fresh(c.file("crane"), far)(ctx); err != nil {
				return err
			}
			return prepare(ctx)
		},
	}
}

// twice runs what happens at the near side and on the link, then what does at
// the far side, and notes how long that took.
func (c *crossing) twice(name string, near, far func(context.Context, *meter) error) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error {
		if err := near(ctx, m); err != nil {
			return err
		}
		begun := time.Now()
		err := far(ctx, m)
		c.far[name] = append(c.far[name], time.Since(begun).Seconds())
		return err
	}
}

// compare takes the steps in turns and reports them.
func (c *crossing) compare(ctx context.Context, what string, steps []step) error {
	clear(c.far)
	r, err := c.hold(ctx, contest{title: fmt.Sprintf("%s, %d MB/s", what, c.rate/1e6), steps: steps, reference: steps[0].name, rounds: c.rounds})
	if err != nil {
		return err
	}
	best := func(i int) float64 {
		return min(wall(r.took["--pack fast"][i]), wall(r.took["--pack small"][i]))
	}
	var rows [][]string
	var ratios []float64
	for _, s := range steps {
		var all []float64
		for i, u := range r.took[s.name] {
			all = append(all, wall(u)/best(i))
		}
		ratios = all // auto's is the last
		total, load := r.median(s.name, wall), median(c.far[s.name])
		rows = append(rows, []string{s.name, megabytes(r.median(s.name, made)), number(total - load), number(load), number(total),
			number(median(all)), number(r.median(s.name, cpu)), mebibytes(r.peak(s.name))})
	}
	c.report.heading(4, r.title)
	c.report.table([]string{"", "MB sent", "pack, send s", "load s", "wall s", "× best of fast, small", "CPU s", "peak MiB"}, rows)
	c.report.text("\n%s; load average before each: %s.", plural(r.rounds, "round"), list(r.load))
	c.report.bars(bar{"--pack auto, × the better of fast and small", median(ratios), 1.1, ""})
	return nil
}
