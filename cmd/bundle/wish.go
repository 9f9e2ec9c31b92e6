package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/manifest"
	"airlock/internal/oci"
	"airlock/internal/release"
)

// wish is the flags that say what goes into a bundle: a release file, or
// images and what else such a file would say.
type wish struct {
	path      string
	bare      release.File
	platforms []string
	created   string
}

func (w *wish) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&w.path, "file", "f", "", "release `FILE`, with its lock beside it")
	f.StringVar(&w.bare.Release, "release", "", "`NAME` of the release (without -f; default: the first image's)")
	f.StringVar(&w.bare.Version, "version", "", "`VERSION` of the release (without -f; default: the first image's tag or digest)")
	f.StringVar(&w.bare.Stream, "stream", "", "`STREAM` that the release belongs to (default: its name)")
	f.Uint64Var(&w.bare.Epoch, "epoch", 0, "`NUMBER` that restarts the sequence (default 1)")
	f.Uint64Var(&w.bare.Sequence, "sequence", 0, "`NUMBER` of the release in its stream (default: its time in seconds)")
	f.StringVar(&w.bare.Expires, "expires", "", "`TIME` from which the far side refuses the bundle, such as 2027-01-31T00:00:00Z")
	f.StringToStringVar(&w.bare.Annotations, "annotation", nil, "`KEY=VALUE` for the reviewer; repeat it for several")
	f.Lookup("annotation").DefValue = "" // else help shows an empty list
	f.StringSliceVar(&w.platforms, "platform", nil, "take only this `OS/ARCH` of each image, by its own digest")
	f.StringVar(&w.created, "created", "", "`TIME` that the bundle says it was made (default: the lock's, $SOURCE_DATE_EPOCH or now)")
}

// file returns the pinned release that is wished for, and the folder that
// paths in it are taken from.
func (w *wish) file(images []string) (*release.File, string, error) {
	if (w.path == "") == (len(images) == 0) {
		return nil, "", cli.Usagef("what? name either a release file with -f, or images pinned by digest")
	}
	if err := w.checkFlags(); err != nil {
		return nil, "", err
	}
	if w.path == "" {
		f, err := w.fromImages(images)
		return f, ".", err
	}
	f, err := release.ReadPinned(w.path)
	if errors.Is(err, release.ErrUnpinned) || errors.Is(err, release.ErrStale) {
		return nil, "", cli.Hint(err, "pin them: bundle lock -f %s", cli.Quote(w.path))
	}
	if err != nil {
		return nil, "", err
	}
	return f, filepath.Dir(w.path), w.override(f)
}

// checkFlags refuses flags that no bundle takes as wrong usage.
func (w *wish) checkFlags() error {
	for _, f := range []struct{ name, value string }{{"expires", w.bare.Expires}, {"created", w.created}} {
		if _, err := manifest.ParseTime(f.value); f.value != "" && err != nil {
			return cli.Usagef("--%s %q: want a time in UTC such as 2027-01-31T00:00:00Z", f.name, f.value)
		}
	}
	for _, f := range []struct{ name, value string }{{"release", w.bare.Release}, {"version", w.bare.Version}, {"stream", w.bare.Stream}} {
		if err := manifest.CheckLabel(f.value); f.value != "" && err != nil {
			return cli.Usagef("--%s %s", f.name, err)
		}
	}
	for _, s := range w.platforms {
		if _, err := oci.ParsePlatform(s); err != nil {
			return cli.Usagef("--%s", err)
		}
	}
	return nil
}

// override lets flags speak before the release file.
func (w *wish) override(f *release.File) error {
	if w.bare.Release != "" || w.bare.Version != "" {
		return cli.Usagef("--release and --version go with images on the command line; %s has its own", w.path)
	}
	if w.bare.Stream != "" {
		f.Stream = w.bare.Stream
	}
	if w.bare.Epoch != 0 {
		f.Epoch = w.bare.Epoch
	}
	if w.bare.Sequence != 0 {
		f.Sequence = w.bare.Sequence
	}
	if w.bare.Expires != "" {
		f.Expires = w.bare.Expires
	}
	for key, value := range w.bare.Annotations {
		if f.Annotations == nil {
			f.Annotations = map[string]string{}
		}
		f.Annotations[key] = value
	}
	for i := range f.Images {
		if len(w.platforms) > 0 {
			f.Images[i].Platforms = w.platforms
		}
	}
	return f.Check()
}

func (w *wish) fromImages(images []string) (*release.File, error) {
	f := w.bare
	for _, s := range images {
		ref, err := release.ParseRef(s)
		if err != nil {
			return nil, cli.Usagef("%s", err)
		}
		if ref.Digest.IsZero() {
			return nil, cli.Hint(cli.Usagef("image %q is not pinned by a digest", s),
				"pin it: bundle create $(bundle lock %s) -o OUT", s)
		}
		f.Images = append(f.Images, release.Image{Image: s, Platforms: w.platforms})
		if f.Release == "" || f.Version == "" {
			name, version := labels(ref)
			if f.Release == "" {
				f.Release = name
			}
			if f.Version == "" {
				f.Version = version
			}
		}
	}
	err := f.Check()
	if errors.Is(err, release.ErrUnnamed) {
		return nil, cli.Hint(cli.Usagef("%s", err), "name it in a release file, such as names: [registry.example/shop/web:1.4], and pack that with -f")
	}
	if err != nil {
		return nil, cli.Usagef("%s", err)
	}
	return &f, nil
}

// labels derives a release's name and version from an image.
func labels(ref release.Ref) (name, version string) {
	name, version, _ = strings.Cut(filepath.Base(ref.Name), ":")
	if ref.Name == "" {
		name, _, _ = strings.Cut(filepath.Base(ref.Path), ".")
	}
	if version == "" {
		version = ref.Digest.Short()
	}
	return label(name), label(version)
}

// label makes a release's name or version of any text.
func label(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-+", r) {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	s = strings.TrimLeft(s[:min(len(s), 40)], "._-+")
	if s == "" {
		return "release"
	}
	return s
}

// createdAt returns when the bundle says it was made. It is an input like any
// other, so that a bundle can be made again byte for byte.
func (w *wish) createdAt(env *cli.Env, f *release.File) (time.Time, error) {
	switch epoch := os.Getenv("SOURCE_DATE_EPOCH"); {
	case w.created != "":
		return manifest.ParseTime(w.created)
	case f.Locked != "":
		return manifest.ParseTime(f.Locked)
	case epoch != "":
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", epoch)
		}
		return time.Unix(seconds, 0), nil
	}
	return env.Now(), nil
}
