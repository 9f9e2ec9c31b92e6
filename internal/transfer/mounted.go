package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrNotMounted is wrapped by the error for a folder that is there to mount a
// medium on, and no medium is.
var ErrNotMounted = errors.New("no medium is mounted there")

// Mounted refuses a path below a mount point on which nothing is mounted now:
// one that /etc/fstab names, or a folder in /media or /run/media, where
// desktops mount. What is written to such a folder lands on the system's own
// disk.
func Mounted(path string) error {
	m, err := MediumOf(path)
	if err != nil {
		return err
	}
	real, err := resolve(path)
	if err != nil {
		return err
	}
	table, err := os.ReadFile("/etc/fstab")
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if point := mountPointOf(real, string(table)); point != "" && !within(m.MountPoint, point) && m.MountPoint != "" {
		return fmt.Errorf("%q: %w; %s is a folder on %s", path, ErrNotMounted, point, m)
	}
	return nil
}

// resolve returns the absolute path without links, as far as it exists.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for at := abs; ; at = filepath.Dir(at) {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return "", err
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// mountPointOf returns the folder above path, or path itself, on which
// something has to be mounted, "" if there is none. Of /run/media, folders are
// named by user and medium; of /media, by medium or by both: the first is taken.
func mountPointOf(path, fstab string) string {
	best := ""
	for line := range strings.Lines(fstab) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") || !filepath.IsAbs(unescape(f[1])) {
			continue
		}
		point := filepath.Clean(unescape(f[1]))
		if point != "/" && within(path, point) && len(point) > len(best) {
			best = point
		}
	}
	if best != "" {
		return best
	}
	for _, base := range []string{"/media", "/run/media"} {
		if rest, ok := strings.CutPrefix(path, base+"/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			return filepath.Join(base, first)
		}
	}
	return ""
}
