//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// medium measures writing a bundle to a folder and reading it from there
// against dd, in the working folder: $AIRLOCK_BENCH_DIR can be on a stick.
func (b *bench) medium(ctx context.Context) error {
	b.report.heading(2, "To a medium and from it")
	if err := b.key(ctx); err != nil {
		return err
	}
	out, err := b.bulkBundle(ctx)
	if err != nil {
		return err
	}
	if err := b.writing(ctx, out); err != nil {
		return err
	}
	if err := b.reading(ctx, out); err != nil {
		return err
	}
	return b.held(ctx)
}

// each returns a command that runs a line of shell for every file of a bundle.
func each(from, line string) command {
	return command{args: []string{"sh", "-ec", `cd "$1"; for f in *; do ` + line + `; done`, "sh", from}}
}

func (b *bench) writing(ctx context.Context, out string) error {
	copied, sent, received, held := b.path("dd"), b.path("sent"), b.path("received"), filepath.Join(b.dir, "home")
	clean := func(dir string) func(context.Context) error {
		remove := fresh(dir, held)
		return func(ctx context.Context) error {
			if err := remove(ctx); err != nil {
				return err
			}
			return new(meter).run(ctx, command{args: []string{"mkdir", "-p", dir, held}})
		}
	}
	home := func(c command) command { c.env = append(c.env, "HOME="+held); return c }
	write := each(out, fmt.Sprintf(`dd if="$f" of=%q/"$f" bs=4M conv=fsync status=none`, copied))
	read := each(copied, `dd if="$f" of=/dev/null bs=4M iflag=direct status=none`)
	receive := func(more ...string) func(context.Context, *meter) error {
		return commands(home(b.unbundle(append([]string{"receive", "-q", out, received, "--trust", b.path("allowed_signers")}, more...)...)))
	}
	r, err := b.hold(ctx, contest{
		title: "Write a bundle to a medium and read it back", reference: "dd, fsync, dd", rounds: b.rounds,
		note: "dd copies file by file with conv=fsync and reads with iflag=direct. bundle send and unbundle receive prove each block before they write it; send and receive --read-back hash what they read back.",
		steps: []step{
			{name: "dd, fsync, dd", prepare: clean(copied), made: copied, run: commands(write, read)},
			{name: "dd, fsync", prepare: clean(copied), made: copied, run: commands(write)},
			{name: "bundle send", prepare: clean(sent), made: sent, run: commands(home(b.bundle("send", "-q", out, sent)))},
			{name: "unbundle receive", prepare: clean(received), made: received, run: receive()},
			{name: "unbundle receive --read-back", prepare: clean(received), made: received, run: receive("--read-back")},
		},
	})
	if err != nil {
		return err
	}
	b.report.result(r)
	b.report.bars(
		bar{"bundle send's time, × dd with fsync and dd", r.ratio("bundle send", "dd, fsync, dd", wall), 1 / 0.9, ""},
		bar{"unbundle receive's time, × dd with fsync", r.ratio("unbundle receive", "dd, fsync", wall), 1 / 0.9, ""},
		bar{"unbundle receive --read-back's time, × dd with fsync and dd", r.ratio("unbundle receive --read-back", "dd, fsync, dd", wall), 1 / 0.9, ""},
		memoryBar(r, "bundle send", 256))
	return nil
}

func (b *bench) reading(ctx context.Context, out string) error {
	cold := func(context.Context) error { return forgetFiles(out) }
	r, err := b.hold(ctx, contest{
		title: "Read a bundle from a medium", reference: "dd", rounds: b.rounds,
		note: "The page cache was emptied of the bundle before.",
		steps: []step{
			{name: "dd", prepare: cold, run: commands(each(out, `dd if="$f" of=/dev/null bs=4M iflag=direct status=none`))},
			{name: "dd, buffered", prepare: cold, run: commands(each(out, `dd if="$f" of=/dev/null bs=4M status=none`))},
			{name: "unbundle verify", prepare: cold, run: commands(b.unbundle("verify", "-q", out, "--trust", b.path("allowed_signers")))},
		},
	})
	if err != nil {
		return err
	}
	b.report.result(r)
	b.report.bars(bar{"unbundle verify's time, × dd", r.ratio("unbundle verify", "dd", wall), 1 / 0.9, ""})
	return nil
}
