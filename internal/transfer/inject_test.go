package transfer

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// helperDir, if set, makes this test binary write to that folder and print
// what came of it, for TestInjected to run it under strace.
const helperDir = "TRANSFER_TEST_HELPER"

func TestHelper(t *testing.T) {
	path := os.Getenv(helperDir)
	if path == "" {
		t.Skip("it only helps TestInjected")
	}
	d, err := NewDir(path)
	if err != nil {
		t.Fatal(err)
	}
	tell := func(step string, err error) {
		fmt.Printf("%s: io=%v full=%v ok=%v\n", step, errors.Is(err, ErrIO), errors.Is(err, ErrFull), err == nil)
	}
	tell("put", d.Put("put", []byte("new")))
	w, err := d.Create("create")
	if err == nil {
		for i := 0; i < 70 && err == nil; i++ {
			_, err = w.Write(make([]byte, 1<<20))
		}
		err = errors.Join(err, w.Close())
	}
	tell("create", err)
	noise := make([]byte, 9<<20)
	tell("send", Sender{}.Send(t.Context(), d, File{Name: "send", Size: int64(len(noise)), SHA256: sha256.Sum256(noise), Bytes: bytes.NewReader(noise)}))
	tell("sync", d.Sync())
}

// TestInjected has system calls fail as a bad medium makes them fail.
func TestInjected(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		missing(t, err.Error())
	}
	const ok, io, full = "io=false full=false ok=true", "io=true full=false ok=false", "io=false full=true ok=false"
	for inject, want := range map[string]struct{ put, create, send, sync, content string }{
		"fsync:error=EIO":             {io, io, io, io, "old"},
		"fsync:error=EINTR:when=1":    {ok, ok, ok, ok, "new"},
		"fdatasync:error=EIO":         {ok, io, io, ok, "new"},
		"fdatasync:error=ENOSPC":      {ok, full, full, ok, "new"},
		"renameat:error=ENOSPC":       {full, ok, full, ok, "old"},
		"renameat:error=EIO":          {io, ok, io, ok, "old"},
		"syncfs:error=EIO":            {ok, ok, ok, io, "new"},
		"sync_file_range:error=EPERM": {ok, ok, ok, ok, "new"},
	} {
		t.Run(inject, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "put"), []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "inject="+inject, os.Args[0], "-test.run=^TestHelper$", "-test.v")
			cmd.Env = append(os.Environ(), helperDir+"="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil && !strings.Contains(string(out), "sync: ") {
				missing(t, fmt.Sprintf("strace cannot run here: %v: %s", err, out))
			}
			for step, want := range map[string]string{"put": want.put, "create": want.create, "send": want.send, "sync": want.sync} {
				if !strings.Contains(string(out), step+": "+want+"\n") {
					t.Errorf("want %s: %s in\n%s", step, want, out)
				}
			}
			if got, err := os.ReadFile(filepath.Join(dir, "put")); err != nil || string(got) != want.content {
				t.Errorf("the file holds %q, %v", got, err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".partial-put")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}
