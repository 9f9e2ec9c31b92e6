package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
	"airlock/internal/human"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// target is where a bundle is written.
type target struct {
	sink     create.Sink
	finish   func(context.Context, *create.Result, progress.Sink) error // after the last file
	abandon  func() error                                               // instead of finish, after an error
	farewell string                                                     // what to tell then
}

// checkFree refuses an output that holds something else, before any work.
func checkFree(out string) error {
	switch {
	case out == "-" || commands.IsURL(out):
		return nil
	case isTar(out):
		if _, err := os.Lstat(out); err == nil {
			return cli.Hint(fmt.Errorf("%q: %w", out, fs.ErrExist), "choose another file, or remove this one")
		}
		return nil
	}
	if info, err := os.Stat(out); err == nil && !info.IsDir() {
		return cli.Usagef("-o %q: is there and no folder; OUT is a folder, an sftp:// URL, a new .tar file, or - for standard output", out)
	}
	_, err := os.Lstat(filepath.Join(out, manifest.SumsName))
	if err == nil {
		return cli.Hint(fmt.Errorf("%q holds a bundle already, and nothing of it is overwritten", out),
			"choose another folder, such as -o %s", cli.Quote(filepath.Join(out, "next")))
	}
	return nil
}

// checkOthers refuses a folder with volumes that are named otherwise than those
// to come: what is left of another bundle is neither mixed in nor removed.
func checkOthers(out, stem string) error {
	if isTar(out) || commands.IsURL(out) {
		return nil
	}
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if journey.IsVolume(e.Name()) && !strings.HasPrefix(e.Name(), stem+".") {
			return cli.Hint(fmt.Errorf("%q holds a volume of another bundle, %q, and nothing of it is overwritten", out, e.Name()),
				"choose another folder, such as -o %s", cli.Quote(filepath.Join(out, "next")))
		}
	}
	return err
}

func (c *creation) openTarget(cmd *cobra.Command, env *cli.Env, size int64) (*target, error) {
	out := c.out
	if c.aside != nil {
		return c.asideTarget(cmd, env, size)
	}
	if out == "-" {
		return streamTarget(cmd)
	}
	if commands.IsURL(out) {
		return c.serverTarget(cmd.Context(), env, size)
	}
	if err := checkSpace(out, size); err != nil {
		return nil, err
	}
	if isTar(out) {
		return tarTarget(out)
	}
	return dirTarget(out)
}

// checkSpace refuses a place that has not the space for a bundle. The volumes
// that an earlier run has left there count as free: they are written over.
func checkSpace(out string, size int64) error {
	free, err := transfer.FreeSpace(out)
	if err != nil {
		return err
	}
	if free+standing(out) < size {
		return cli.Hint(fmt.Errorf("%q has %s free, and the bundle takes up to %s", out, human.Bytes(free), human.Bytes(size)),
			"make room, or choose another place with -o OUT")
	}
	return nil
}

// standing returns how many bytes of volumes there are in a folder.
func standing(out string) (sum int64) {
	entries, _ := os.ReadDir(out) // what cannot be listed counts for nothing
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && journey.IsVolume(e.Name()) {
			sum += info.Size()
		}
	}
	return sum
}

// checkSpool refuses a folder that has not the space for what is kept aside in it.
func checkSpool(dir string, size int64) error {
	free, err := transfer.FreeSpace(dir)
	if err != nil {
		return err
	}
	if free < size {
		return cli.Hint(fmt.Errorf("%q has %s free, and packing keeps up to %s aside there for a while", dir, human.Bytes(free), human.Bytes(size)),
			"make room, or name another folder for that: --spool DIR")
	}
	return nil
}

// toStandardOutput is the farewell of what was streamed.
const toStandardOutput = "written to standard output"

// standardOutput returns it if a bundle can be written there.
func standardOutput(cmd *cobra.Command) (io.Writer, error) {
	w := cmd.OutOrStdout()
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return nil, cli.Usagef("a bundle is not written to a terminal; redirect or pipe standard output")
	}
	return w, nil
}

func streamTarget(cmd *cobra.Command) (*target, error) {
	w, err := standardOutput(cmd)
	if err != nil {
		return nil, err
	}
	t := transfer.NewTar(w)
	return &target{
		sink:     t,
		finish:   func(context.Context, *create.Result, progress.Sink) error { return t.Close() },
		abandon:  func() error { return nil },
		farewell: toStandardOutput,
	}, nil
}

// tarTarget writes beside the file and gives it its name at the end.
func tarTarget(out string) (*target, error) {
	partial := out + ".partial"
	f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	t := transfer.NewTarFile(f)
	return &target{
		sink: t,
		finish: func(context.Context, *create.Result, progress.Sink) error {
			if err := errors.Join(t.Close(), f.Sync(), f.Close()); err != nil {
				return err
			}
			if err := os.Rename(partial, out); err != nil {
				return err
			}
			return syncDir(filepath.Dir(out))
		},
		abandon:  func() error { return errors.Join(f.Close(), os.Remove(partial)) },
		farewell: "written to " + out,
	}, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func dirTarget(out string) (*target, error) {
	dir, err := transfer.NewDir(out)
	if err != nil {
		return nil, err
	}
	if err := removeStale(out); err != nil {
		return nil, err
	}
	sink := &noting{Dir: dir, put: manifest.Sums{}}
	t := &target{sink: sink, abandon: func() error { return nil }, farewell: "written to " + out}
	t.finish = func(ctx context.Context, r *create.Result, show progress.Sink) error {
		if err := dir.Sync(); err != nil {
			return err
		}
		medium, err := transfer.MediumOf(out)
		if err != nil || !medium.Removable {
			return err
		}
		maps.Copy(sink.put, r.Sums)
		outcome, _, err := journey.ReadBack(ctx, dir, sink.put, show)
		t.farewell += ", " + outcome.String()
		return explainChanged(err)
	}
	return t, nil
}

// noting is a folder that remembers what small files it was given.
type noting struct {
	*transfer.Dir
	put manifest.Sums
}

func (n *noting) Put(name string, data []byte) error {
	n.put[name] = manifest.DigestOf(data)
	return n.Dir.Put(name, data)
}

// explainChanged says what to do about a medium that gives back other bytes.
func explainChanged(err error) error {
	if errors.Is(err, journey.ErrChanged) {
		return cli.Hint(err, "run the same command again: what is whole stays, the rest is written anew; "+
			"if it ends like this once more, check the medium's file system (fsck); if that does not help, it is broken or counterfeit: take another one")
	}
	return err
}

// freeServer connects to a server that has room for the bundle, and none yet.
func (c *creation) freeServer(ctx context.Context, env *cli.Env, size int64) (*transfer.Server, error) {
	server, err := c.sftp.Dial(ctx, env, c.out)
	if err != nil {
		return nil, err
	}
	if _, err := manifest.ReadSums(server.Files()); err == nil {
		err = cli.Hint(fmt.Errorf("%q holds a bundle already, and nothing of it is overwritten", c.out), "choose another folder")
		return nil, errors.Join(err, server.Close())
	}
	if free, err := server.FreeSpace(); err == nil && free < size {
		err := fmt.Errorf("%q has %s free, and the bundle takes up to %s", c.out, human.Bytes(free), human.Bytes(size))
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

// serverTarget writes straight to an SFTP server.
func (c *creation) serverTarget(ctx context.Context, env *cli.Env, size int64) (*target, error) {
	server, err := c.freeServer(ctx, env, size)
	if err != nil {
		return nil, err
	}
	return &target{
		sink: server,
		finish: func(context.Context, *create.Result, progress.Sink) error {
			return errors.Join(server.Sync(), server.Close())
		},
		abandon:  server.Close,
		farewell: "written to " + c.out,
	}, nil
}

// removeStale removes signatures and copies that a run that was broken off has
// left: they are over other bytes than the ones to come.
func removeStale(out string) error {
	entries, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := manifest.SignaturePrincipal(e.Name()); !ok && e.Name() != manifest.CopyName {
			continue
		}
		if err := os.Remove(filepath.Join(out, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// volumeSize reads the flag: whole blocks, rounded down.
func volumeSize(flag, out string) (int64, error) {
	size := volume.DefaultSize
	if isTar(out) {
		size = transfer.MaxTarFile
	}
	if flag == "" {
		return size, nil
	}
	n, err := cli.ParseSize(flag)
	if err != nil {
		return 0, err
	}
	if isTar(out) && n > size {
		return 0, cli.Usagef("--volume-size %s: in a tar, volumes have at most %s, because their size must be known before their bytes", flag, human.Bytes(size))
	}
	if n = n / manifest.BlockSize * manifest.BlockSize; n == 0 {
		return 0, cli.Usagef("--volume-size %s: want at least 1MiB", flag)
	}
	return n, nil
}
