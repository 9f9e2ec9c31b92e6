//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"airlock/internal/realtest"
)

func serverCommands() map[string]command {
	return map[string]command{"registry": registry, "catalog": catalog, "requests": requests, "images": images, "sftp": sftp}
}

func registry(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: registry NAME")
	}
	r := realtest.Registry(of(ts).tb)
	of(ts).registries[r.Addr] = r
	ts.Setenv(args[0], r.Addr)
}

func (s *servers) setCorpus(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: corpus NAME")
	}
	ts.Setenv(args[0], s.corpus.Registry)
	for _, im := range s.corpus.All() {
		name := strings.ToUpper(im.Repo[strings.LastIndex(im.Repo, "/")+1:])
		ts.Setenv(name, im.Digest)
		ts.Setenv(name+"_ID", im.ConfigDigest)
		for _, child := range im.Children {
			ts.Setenv(name+"_"+strings.ToUpper(strings.ReplaceAll(child.Platform, "/", "_")), child.Digest)
		}
	}
}

func sftp(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: sftp NAME")
	}
	server := realtest.SSHD(of(ts).tb)
	config, err := os.ReadFile(server.ConfigFile)
	ts.Check(err)
	folder := filepath.Join(ts.Getenv("HOME"), ".ssh")
	ts.Check(errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, "config"), config, 0o600)))
	ts.Setenv(args[0], "sftp://realtest"+server.Path)
	ts.Setenv(args[0]+"_ROOT", server.Root)
}

func catalog(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: catalog HOST [REPO…]")
	}
	got := Catalog(of(ts).tb, args[0])
	want := slices.Sorted(slices.Values(args[1:]))
	if !slices.Equal(got, want) {
		ts.Fatalf("registry has the repositories %q, want %q", got, want)
	}
}

// Catalog returns the repositories of a registry, sorted.
func Catalog(t testing.TB, host string) []string {
	t.Helper()
	reply, err := http.Get("http://" + host + "/v2/_catalog?n=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	var list struct{ Repositories []string }
	if err := json.NewDecoder(reply.Body).Decode(&list); err != nil {
		t.Fatalf("catalog of %s: %v", host, err)
	}
	slices.Sort(list.Repositories)
	return list.Repositories
}

func requests(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 || of(ts).registries[args[0]] == nil {
		ts.Fatalf("usage: requests HOST METHOD PART N")
	}
	want, err := strconv.Atoi(args[3])
	ts.Check(err)
	if got := of(ts).registries[args[0]].Count(args[1], args[2]); got != want {
		ts.Fatalf("registry had %d requests %s …%s…, want %d", got, args[1], args[2], want)
	}
}

func (s *servers) dockerd(ts *testscript.TestScript, _ bool, args []string) {
	lock, start := &s.classic, realtest.Docker
	switch {
	case len(args) == 1 && args[0] == "classic":
	case len(args) == 1 && args[0] == "containerd":
		lock, start = &s.today, realtest.DockerContainerd
	default:
		ts.Fatalf("usage: dockerd classic|containerd")
	}
	lock.Lock()
	ts.Defer(lock.Unlock)
	d := start(of(ts).tb)
	d.Clear()
	of(ts).engine = d
	for _, pair := range d.Env() {
		key, value, _ := strings.Cut(pair, "=")
		ts.Setenv(key, value)
	}
}

func images(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 || of(ts).engine == nil {
		ts.Fatalf("usage, after dockerd: images N")
	}
	got := strings.Fields(of(ts).engine.Run("image", "ls", "-aq", "--no-trunc"))
	slices.Sort(got)
	if got = slices.Compact(got); strconv.Itoa(len(got)) != args[0] {
		ts.Fatalf("the engine has the images %q, want %s", got, args[0])
	}
}
