//go:build linux

package transfer_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"airlock/internal/realtest"
	"airlock/internal/transfer"
	"airlock/internal/transfer/transfertest"
)

func TestDirConforms(t *testing.T) {
	transfertest.Run(t, func(t *testing.T) transfertest.Place {
		path := t.TempDir()
		d, err := transfer.NewDir(path)
		if err != nil {
			t.Fatal(err)
		}
		return transfertest.Place{Dest: d, Path: path, Files: func() fs.FS {
			f, err := transfer.OpenDir(path)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}}
	})
}

func TestOpenSSHConforms(t *testing.T) {
	t.Parallel()
	conforms(t, realtest.SSHD(t, realtest.Confined))
}

func TestProFTPDConforms(t *testing.T) {
	t.Parallel()
	conforms(t, realtest.ProFTPD(t))
}

func conforms(t *testing.T, server *realtest.SSHServer) {
	transfertest.Run(t, func(t *testing.T) transfertest.Place {
		dir, err := os.MkdirTemp(server.Root, "d")
		if err != nil {
			t.Fatal(err)
		}
		s := dial(t, server, filepath.Base(dir), nil)
		return transfertest.Place{Dest: s, Path: dir, Files: func() fs.FS { return s.Files() }}
	})
}

// options are what the server's own configuration file says.
func options(server *realtest.SSHServer) transfer.Options {
	return transfer.Options{ConfigFile: server.ConfigFile, AgentSocket: "none"}
}

// dial connects to a folder of the server's, directly or through a proxy.
func dial(t testing.TB, server *realtest.SSHServer, dir string, change func(*transfer.URL, *transfer.Options)) *transfer.Server {
	t.Helper()
	s, err := tryDial(t, server, dir, change)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryDial(t testing.TB, server *realtest.SSHServer, dir string, change func(*transfer.URL, *transfer.Options)) (*transfer.Server, error) {
	t.Helper()
	u := transfer.URL{Host: "realtest", Dir: filepath.Join(server.Path, dir)}
	o := options(server)
	if change != nil {
		change(&u, &o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	t.Cleanup(cancel)
	s, err := transfer.Dial(ctx, u, o)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}
