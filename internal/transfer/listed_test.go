package transfer_test

import (
	"errors"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"airlock/internal/transfer"
)

// asked is files that remember what was asked for.
type asked struct {
	fstest.MapFS
	names []string
}

func (a *asked) Open(name string) (fs.File, error) {
	a.names = append(a.names, name)
	return a.MapFS.Open(name)
}

func (a *asked) Stat(name string) (fs.FileInfo, error) {
	a.names = append(a.names, name)
	return a.MapFS.Stat(name)
}

// TestListed: nobody is asked for a file that is not in the list, unless only its
// letters are larger or smaller.
func TestListed(t *testing.T) {
	place := &asked{MapFS: fstest.MapFS{"README.txt": {Data: []byte("x")}, "folder/deep": {}}}
	listed, err := transfer.List(place)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"missing", "readme.TXT", "README.txt", "folder/deep", ".", "../README.txt"} {
		want := error(fs.ErrNotExist)
		if name == "README.txt" || name == "." {
			want = nil
		}
		if _, err := fs.Stat(listed, name); !errors.Is(err, want) {
			t.Errorf("asking for %s: %v, want %v", name, err, want)
		}
		if _, err := listed.Open(name); !errors.Is(err, want) {
			t.Errorf("opening %s: %v, want %v", name, err, want)
		}
	}
	if want := []string{"readme.TXT", "readme.TXT", "README.txt", "README.txt", ".", "."}; !slices.Equal(place.names, want) {
		t.Errorf("the place was asked for %v, want %v", place.names, want)
	}
	place.MapFS["later"] = &fstest.MapFile{}
	list, err := fs.ReadDir(listed, ".")
	if err != nil || len(list) != 2 || list[0].Name() != "README.txt" {
		t.Errorf("it lists %v, %v", list, err)
	}
	if _, err := transfer.List(fstest.MapFS{".": {Mode: 0o644}}); err == nil {
		t.Error("what is no folder is listed")
	}
}
