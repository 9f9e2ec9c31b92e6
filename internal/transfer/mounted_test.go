package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestMountPointOf(t *testing.T) {
	const fstab = "# /dev/sdx /srv/none ext4\nUUID=1 / ext4 defaults 0 1\n/dev/sdb1 /mnt/my\\040stick vfat noauto,user 0 0\n/dev/sdc1 /mnt ext4\n/dev/sdd none swap sw 0 0\n"
	for path, want := range map[string]string{
		"/":                         "",
		"/srv/none/x":               "",
		"/home/ana/media/x":         "",
		"/media":                    "",
		"/media/usb":                "/media/usb",
		"/media/usb/shop/1":         "/media/usb",
		"/run/media/ana/STICK/shop": "/run/media/ana",
		"/mnt/my stick/shop":        "/mnt/my stick",
		"/mnt/my stick2":            "/mnt",
		"/mediaeval":                "",
		"/run/media":                "",
	} {
		if got := mountPointOf(path, fstab); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestMounted(t *testing.T) {
	here := t.TempDir()
	if err := Mounted(filepath.Join(here, "not", "yet")); err != nil {
		t.Error(err)
	}
	if err := os.Symlink("/media/airlock-test-no-such-stick", filepath.Join(here, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/media/airlock-test-no-such-stick", "/media/airlock-test-no-such-stick/shop"} {
		if err := Mounted(path); !errors.Is(err, ErrNotMounted) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
