//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// recorded runs step on an empty file system, after prepare, and returns every
// write that the medium saw of step.
func (g *guest) recorded(prepare, step func() error) (before []byte, writes []write, err error) {
	if err := g.fresh(); err != nil {
		return nil, nil, err
	}
	if err := errors.Join(prepare(), unmount()); err != nil {
		return nil, nil, err
	}
	if before, err = os.ReadFile(g.disks[0]); err != nil {
		return nil, nil, err
	}
	n, err := sectors(g.disks[0])
	if err != nil {
		return nil, nil, err
	}
	m, err := newMapped("log", target{n, "log-writes", g.disks[0] + " " + g.disks[1]})
	if err != nil {
		return nil, nil, err
	}
	if err := g.mount(m.path, 0); err != nil {
		return nil, nil, err
	}
	if err := errors.Join(step(), unmount()); err != nil {
		return nil, nil, err
	}
	for range 50 {
		if err = m.remove(); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return nil, nil, err
	}
	writes, err = readLog(g.disks[1])
	return trimZeros(before), writes, err
}

// survivors returns what is on the medium of so many writes when the power goes.
// Of those that no flush has followed, a medium that reorders may have lost
// each; one that does not has all.
func survivors(writes []write, after int, lose func() bool) []write {
	flushed := 0
	for i, w := range writes[:after] {
		if w.flush {
			flushed = i
		}
	}
	var left []write
	for i, w := range writes[:after] {
		if i > flushed && !w.fua && lose() {
			continue
		}
		left = append(left, w)
	}
	return left
}

// replay makes a disk what it is after these writes.
func replay(disk string, before []byte, writes []write) error {
	if err := restore(disk, before); err != nil {
		return err
	}
	return writeDevice(disk, func(f *os.File) error {
		for _, w := range writes {
			if _, err := f.WriteAt(w.data, w.offset); err != nil {
				return err
			}
		}
		return nil
	})
}

// tally is what came of the points of a scenario.
type tally struct{ points, whole, twice, checked, rechecked int }

func (t tally) String() string {
	return fmt.Sprintf("%d points: %d times nothing, %d times whole, completed each time (%d times by a second run, %d times after fsck, %d times more than one)",
		t.points, t.points-t.whole, t.whole, t.twice, t.checked, t.rechecked)
}

// cuts cuts the power in a command that writes a bundle to an empty medium, at
// points that pointOf chooses: there is no bundle then, or a whole one, and the
// same command completes it.
func (g *guest) cuts(run runner, reorders bool) (string, error) {
	points, err := strconv.Atoi(g.options["points"])
	if err != nil {
		return "", err
	}
	before, writes, err := g.recorded(func() error { return nil }, func() error {
		if o := run(usb); o.code != 0 {
			return errors.New(o.short())
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	chance := rand.New(rand.NewPCG(uint64(g.seed), 1))
	lose := func() bool { return reorders && chance.IntN(2) == 0 }
	t := tally{}
	for t.points < points {
		after := pointOf(t.points, points, len(writes), chance)
		t.points++
		left := survivors(writes, after, lose)
		err := replay(g.disks[0], before, left)
		if err == nil {
			err = g.mount(g.disks[0], 0)
		}
		if err == nil {
			err = g.afterCut(run, &t)
		}
		if err == nil {
			err = unmount()
		}
		if err != nil {
			err = fmt.Errorf("point %d, after %d of %d writes: %w", t.points, after, len(writes), err)
			if g.options["keep"] == "true" {
				err = errors.Join(errKept, err, unmount(), replay(g.disks[1], before, left))
			}
			return "", err
		}
	}
	return fmt.Sprintf("%s; %d writes", t, len(writes)), nil
}

// pointOf chooses the point of that number, of so many, in so many writes. A
// fifth are the first writes in turn, which make the folder, and a fifth the
// last ones, which make the bundle complete: both are few of many. The others
// are random.
func pointOf(number, points, writes int, chance *rand.Rand) int {
	switch fifth := min(points/5, writes); {
	case number < fifth:
		return number
	case number < 2*fifth:
		return writes - (number - fifth)
	}
	return chance.IntN(writes + 1)
}

// errKept is the error of a scenario that has left its disks for the host to
// keep: what the cut left is on the one that writes are recorded on.
var errKept = errors.New("disks kept")

type runner func(out string, more ...string) outcome

// afterCut judges what is left, and completes it.
func (g *guest) afterCut(run runner, t *tally) error {
	_, serr := os.Stat(usb + "/SHA256SUMS")
	whole := false
	o := verify(usb)
	switch {
	case o.code == 0:
		whole = true
		t.whole++
	case o.code == 4 && serr != nil, o.code == 1: // nothing, or nothing that can be read
	default:
		return fmt.Errorf("what is left is taken for a bundle: %s", o.short())
	}
	_ = os.RemoveAll("/home/.local") // a journal that has seen the future
	if err := g.complete(run, whole, t); err != nil {
		return err
	}
	// What the kernel remembers of the file system may be better than that is.
	if err := errors.Join(unmount(), g.mount(g.disks[0], 0)); err != nil {
		return err
	}
	if o := verify(usb); o.code != 0 {
		return fmt.Errorf("verify after the same command again: %s", o.short())
	}
	return nil
}

// complete runs the same command again, as often as its user would.
func (g *guest) complete(run runner, whole bool, t *tally) error {
	var history []string
	once := func() (done, locked bool) {
		o := run(usb)
		history = append(history, o.short())
		return o.code == 0 || whole && o.said("holds a bundle already"), o.said("read-only file system")
	}
	twice := func() bool {
		done, locked := once()
		if !done && !locked {
			done, _ = once()
		}
		return done
	}
	if twice() {
		t.twice += len(history) - 1
		return nil
	}
	// Writes that were lost out of order leave files that share clusters, or
	// chains that the kernel finds fault with, and says so by a read-only file
	// system.
	for round := range 3 {
		if err := g.checked(g.disks[0]); err != nil {
			return fmt.Errorf("after %q: %w", history, err)
		}
		if round == 0 {
			t.checked++
		} else {
			t.rechecked++
		}
		if twice() {
			return nil
		}
	}
	return fmt.Errorf("the same command again and again: %q", history)
}

// checked has the mounted medium checked, as the hint of a command says.
func (g *guest) checked(device string) error {
	if err := unmount(); err != nil {
		return err
	}
	args := map[string][]string{"vfat": {"fsck.vfat", "-a"}, "exfat": {"fsck.exfat", "-y"}}[g.fs]
	if o := do(args[0], append(args[1:], device)...); o.code < 0 || o.code > 1 {
		return fmt.Errorf("%s: %s", args[0], o.short())
	}
	return g.mount(device, 0)
}

// cutSign cuts the power while a signature is added to a whole bundle, which
// stays one all the time.
func (g *guest) cutSign() (string, error) {
	points, err := strconv.Atoi(g.options["points"])
	if err != nil {
		return "", err
	}
	points = (points + 3) / 4
	sign := func() error {
		if o := do("bundle", "sign", usb, "--as", "bo", "--key", "/src/bo"); o.code != 0 {
			return errors.New(o.short())
		}
		return nil
	}
	before, writes, err := g.recorded(func() error {
		if o := create(usb); o.code != 0 {
			return errors.New(o.short())
		}
		return nil
	}, sign)
	if err != nil {
		return "", err
	}
	chance := rand.New(rand.NewPCG(uint64(g.seed), 2))
	for point := range points {
		after := chance.IntN(len(writes) + 1)
		left := survivors(writes, after, func() bool { return chance.IntN(2) == 0 })
		if err := errors.Join(replay(g.disks[0], before, left), g.mount(g.disks[0], 0)); err != nil {
			return "", err
		}
		if o := verify(usb); o.code != 0 {
			return "", fmt.Errorf("point %d, after %d of %d writes: %s", point, after, len(writes), o.short())
		}
		if err := errors.Join(sign(), unmount()); err != nil {
			return "", fmt.Errorf("point %d, after %d of %d writes: %w", point, after, len(writes), err)
		}
	}
	return fmt.Sprintf("%d points in %d writes: always whole", points, len(writes)), nil
}

// unplug has the stick pulled out while a bundle is written to it, and put in
// again.
func (g *guest) unplug() (string, error) {
	stick := g.options["stick"]
	if stick == "" {
		return "", errNotHere
	}
	if err := waitFor(stick); err != nil {
		return "", err
	}
	if err := restore(stick, g.image); err != nil {
		return "", err
	}
	if err := g.mount(stick, 0); err != nil {
		return "", err
	}
	big := creating()
	cmd, out, stop := command(commandMax, "bundle", big...)
	defer stop()
	if err := cmd.Start(); err != nil {
		return "", err
	}
	for range 600 {
		if _, err := os.Stat(usb + "/bulk-1.002.vol"); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println("@@unplug")
	o := ended(cmd, out, cmd.Wait())
	if o.code == 0 || o.said(safe) {
		return "", fmt.Errorf("pulled out: %s", o.short())
	}
	detail := o.short()
	_ = unix.Unmount(mountPoint, unix.MNT_DETACH)
	if o := do("bundle", big...); o.code == 0 || !o.said("no medium is mounted there") {
		return detail, fmt.Errorf("onto the empty mount point: %s", o.short())
	}
	fmt.Println("@@plug")
	found := ""
	for range 100 {
		for _, path := range []string{"/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd"} {
			if n, err := sectors(path); err == nil && n > 0 {
				found = path
			}
		}
		if found != "" && g.mount(found, 0) == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if o := do("bundle", big...); o.code != 0 || !o.said(safe) {
		return detail, fmt.Errorf("put in again: %s", o.short())
	}
	if o := verify(usb); o.code != 0 {
		return detail, fmt.Errorf("put in again: %s", o.short())
	}
	g.options["stick"] = found
	return detail, unmount()
}
