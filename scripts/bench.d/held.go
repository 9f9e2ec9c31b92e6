//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"airlock/internal/bulk"
)

// heldSeconds is how long a held medium takes to write or read a bundle.
const heldSeconds = 4

// A heldDisk is an ext4 file system in memory whose block device the kernel
// (blkio.throttle of the root control group, which write-back belongs to) holds to
// a rate.
type heldDisk struct {
	device string // major:minor
	mount  string
}

const throttle = "/sys/fs/cgroup/blkio/blkio.throttle."

// holdDisk makes one that takes size bytes.
func (b *bench) holdDisk(ctx context.Context, size int64) (*heldDisk, error) {
	if _, err := os.Stat(throttle + "write_bps_device"); err != nil {
		return nil, fmt.Errorf("holding a medium to a rate takes cgroup v1's blkio: %w", err)
	}
	image, err := os.CreateTemp("/dev/shm", "al-bench-")
	if err != nil {
		return nil, err
	}
	b.atEnd(func() error { return os.Remove(image.Name()) })
	if err := errors.Join(image.Truncate(size), image.Close()); err != nil {
		return nil, err
	}
	d := &heldDisk{mount: b.path("medium")}
	steps := []command{
		{args: []string{"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image.Name()}},
		{args: []string{"mkdir", "-p", d.mount}},
		{args: []string{"mount", "-o", "loop", image.Name(), d.mount}},
	}
	if err := new(meter).run(ctx, steps...); err != nil {
		return nil, err
	}
	b.atEnd(func() error { return errors.Join(d.rate(0), unix.Unmount(d.mount, 0)) })
	var st unix.Stat_t
	if err := unix.Stat(d.mount, &st); err != nil {
		return nil, err
	}
	d.device = fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	return d, nil
}

// rate holds writing and reading to so many bytes a second; zero: to nothing.
func (d *heldDisk) rate(bytes int64) error {
	var errs []error
	for _, way := range []string{"write", "read"} {
		errs = append(errs, os.WriteFile(throttle+way+"_bps_device", fmt.Appendf(nil, "%s %d", d.device, bytes), 0))
	}
	return errors.Join(errs...)
}

// at returns what prepares a step: prepare, at full speed, then the rate.
func (d *heldDisk) at(rate int64, prepare func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := errors.Join(d.rate(0), prepare(ctx)); err != nil {
			return err
		}
		unix.Sync()
		return d.rate(rate)
	}
}

// held measures writing to a medium of each rate and reading from it.
func (b *bench) held(ctx context.Context) error {
	most := slices.Max(b.media) * heldSeconds
	disk, err := b.holdDisk(ctx, most+most/4)
	if err != nil {
		b.report.text("Media held to a rate: **not measured**: %v.", err)
		return nil
	}
	for _, rate := range b.media {
		if err := b.heldTo(ctx, disk, rate); err != nil {
			return err
		}
	}
	return nil
}

// heldTo is held at one rate.
func (b *bench) heldTo(ctx context.Context, disk *heldDisk, rate int64) error {
	name, layer := fmt.Sprintf("held%d", rate/1e6), rate*heldSeconds/2
	digest, err := bulk.Write(b.path(name+"-layout"), 1, layer, layer)
	if err != nil {
		return err
	}
	pack := func(out string) command {
		return b.bundle("create", "-q", "oci:"+b.path(name+"-layout")+":"+bulk.Name+"@"+digest,
			"--key", b.path("key"), "--as", "bench", "-o", out, "--volume-size", "512MiB", "--parity", "0")
	}
	out, on, far := b.path(name), filepath.Join(disk.mount, "bundle"), b.path("far")
	if err := new(meter).run(ctx, pack(out)); err != nil {
		return err
	}
	trust := []string{"--trust", b.path("allowed_signers")}
	home := func(c command) command { c.env = append(c.env, "HOME="+b.path("home")); return c }
	empty := disk.at(rate, func(ctx context.Context) error {
		if err := fresh(on, far, b.path("home"))(ctx); err != nil {
			return err
		}
		return errors.Join(os.MkdirAll(on, 0o700), os.MkdirAll(b.path("home"), 0o700), exec.CommandContext(ctx, "fstrim", disk.mount).Run())
	})
	full := disk.at(rate, func(ctx context.Context) error {
		if err := errors.Join(fresh(far, on)(ctx), os.MkdirAll(far, 0o700)); err != nil {
			return err
		}
		copied := command{args: []string{"cp", "-r", out, on}}
		return errors.Join(new(meter).run(ctx, copied), forgetFiles(on))
	})
	write := each(out, fmt.Sprintf(`dd if="$f" of=%q/"$f" bs=4M conv=fsync status=none`, on))
	read := each(on, `dd if="$f" of=/dev/null bs=4M iflag=direct status=none`)
	copyOff := each(on, fmt.Sprintf(`dd if="$f" of=%q/"$f" bs=4M conv=fsync status=none`, far))
	r, err := b.hold(ctx, contest{
		title: fmt.Sprintf("A medium of %d MB/s, %d MB", rate/1e6, 2*layer/1e6), reference: "dd, fsync", rounds: b.rounds,
		note: "An ext4 in memory behind a loop device that `blkio.throttle` holds, writing and reading. “Copy off”: from the medium to the disk, with fsync.",
		steps: []step{
			{name: "dd, fsync", prepare: empty, made: on, run: commands(write)},
			{name: "bundle create", prepare: empty, made: on, run: commands(home(pack(on)))},
			{name: "dd, fsync, dd", prepare: empty, made: on, run: commands(write, read)},
			{name: "bundle send", prepare: empty, made: on, run: commands(home(b.bundle("send", "-q", out, on)))},
			{name: "dd, read", prepare: full, run: commands(read)},
			{name: "unbundle verify", prepare: full, run: commands(b.unbundle(append([]string{"verify", "-q", on}, trust...)...))},
			{name: "dd, copy off", prepare: full, run: commands(copyOff)},
			{name: "unbundle receive", prepare: full, run: commands(home(b.unbundle(append([]string{"receive", "-q", on, far}, trust...)...)))},
			{name: "unbundle load", prepare: full, run: commands(home(b.unbundle(append([]string{"load", "-q", on, "--to", "oci:" + far}, trust...)...)))},
		},
	})
	if err != nil {
		return err
	}
	b.report.result(r)
	b.report.bars(heldBars(r, rate)...)
	return nil
}

// heldBars compares each command with dd that does as much.
func heldBars(r *result, rate int64) []bar {
	var bars []bar
	for _, pair := range [][2]string{
		{"bundle create", "dd, fsync"}, {"bundle send", "dd, fsync, dd"}, {"unbundle verify", "dd, read"},
		{"unbundle receive", "dd, copy off"}, {"unbundle load", "dd, copy off"},
	} {
		what := fmt.Sprintf("%s's time, × %s, %d MB/s", pair[0], strings.ReplaceAll(pair[1], ", ", " and "), rate/1e6)
		bars = append(bars, bar{what, r.ratio(pair[0], pair[1], wall), 1 / 0.9, ""})
	}
	return bars
}
