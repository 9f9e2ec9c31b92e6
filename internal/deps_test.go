// Package internal_test holds the rules that span packages: who may link whom,
// and what stands once or nowhere.
package internal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bans says for each package what it must not link, and why. A ban of a path
// covers what lies below it. A path that begins with a dot is the module's own.
var bans = map[string]map[string]string{
	"./internal/trust": {
		"./internal": "signatures are judged by code that knows nothing of bundles",
		"net/http":   "trust is decided offline",
		"os/exec":    "no other program has a say in who is trusted",
	},
	"./internal/manifest": merge(knowsNoImages, knowsNoCompression, map[string]string{
		"./internal/volume":  "the signed texts are below the volumes",
		"./internal/archive": "the signed texts are below the archive",
		"net/http":           "the signed texts are read offline",
		"os/exec":            "no other program has a say in what is signed",
		"archive/tar":        "texts are files, wherever they come from",
	}),
	"./internal/volume": merge(knowsNoImages, knowsNoCompression, map[string]string{
		"./internal/archive": "volumes are opaque bytes",
		"net/http":           "volumes are files",
		"os/exec":            "volumes are files",
	}),
	"./internal/transfer": merge(knowsNoImages, knowsNoCompression, map[string]string{
		"./internal/manifest": "what is moved is opaque bytes; its hashes are the caller's",
		"./internal/trust":    "what is moved is opaque bytes",
		"./internal/volume":   "what is moved is opaque bytes",
		"./internal/archive":  "what is moved is opaque bytes",
	}),
	"./internal/gzipexact": merge(knowsNoImages, map[string]string{
		"./internal/manifest": "it turns a gzip stream into its content and back, and knows no digests of bundles",
		"./internal/volume":   "it turns a gzip stream into its content and back",
		"./internal/archive":  "it is below the archive",
	}),
	"./internal/gunzip": {
		"./internal/manifest": "it reads gzip, whatever that is for", "./internal/archive": "it is below the archive",
	},
	"./internal/delta": merge(knowsNoImages, map[string]string{
		"./internal/volume":  "it finds copies in bytes, wherever they stand",
		"./internal/archive": "it is below the archive",
	}),
	"./internal/archive": merge(knowsNoImages, map[string]string{
		"net/http": "an archive is read from volumes alone",
		"os/exec":  "decoders are our own code",
	}),
	"./internal/oci": {
		"./internal/volume": "documents come from anywhere", "./internal/archive": "documents come from anywhere",
		"./internal/registry": "documents come from anywhere", "./internal/load": "documents are below loading",
		"github.com/google/go-containerregistry": "its parsers take what ours must refuse",
		"net/http":                               "fetching is the caller's",
	},
	"./internal/load": {
		"./internal/create": "the isolated side makes no bundles", "./internal/registry": "a destination is an interface", "./internal/daemon": "a destination is an interface",
		"./internal/layout": "a destination is an interface", "net/http": "destinations talk, the loader does not",
	},
	"./internal/create": {
		"./internal/load": "the connected side loads nothing", "./internal/registry": "a source is an interface", "./internal/daemon": "a source is an interface",
		"./internal/layout": "a source is an interface", "net/http": "sources talk, the packer does not", "./internal/transfer": "a sink is an interface",
	},
	"./internal/inspect": {
		"net/http": "inspecting opens no connection", "./internal/create": "inspecting makes nothing", "./internal/load": "inspecting loads nothing",
	},
	"./cmd/unbundle": {
		"./internal/create": "the isolated side makes no bundles", "./internal/release": "the isolated side wishes for nothing",
		"./internal/catalogue": "the isolated side makes no bundles",
	},
	"./internal/aside": merge(knowsNoImages, knowsNoCompression, map[string]string{
		"./internal/manifest": "what goes on is opaque bytes",
	}),
	"./internal/progress": {"./internal": "everybody reports progress", "os": "how it looks is the sink's affair"},
	"./internal/tarfs":    {"./internal": "a tar file is not a bundle"},
}

// direct says what a package's own files must not import, and why; what they
// import may link it.
var direct = map[string]map[string]string{
	"./cmd/unbundle": {"./internal/bundletest": "tests are not shipped", "os/exec": "it runs no program but SSH_ASKPASS, which commands does"},
	"./cmd/bundle":   {"./internal/load": "the connected side loads nothing", "os/exec": "it runs no program but SSH_ASKPASS, which commands does"},
}

// knowsNoImages is for packages below the images.
var knowsNoImages = map[string]string{
	"./internal/oci": "it knows nothing of images", "./internal/registry": "it knows nothing of images", "./internal/daemon": "it knows nothing of images",
	"./internal/layout": "it knows nothing of images", "./internal/load": "it knows nothing of images", "./internal/create": "it knows nothing of images",
	"./internal/release": "it knows nothing of images", "github.com/google/go-containerregistry": "it knows nothing of images",
	"github.com/opencontainers": "it knows nothing of images", "github.com/moby": "it knows nothing of images",
}

// knowsNoCompression is for packages that see opaque bytes.
var knowsNoCompression = map[string]string{
	"github.com/klauspost/compress": "it knows nothing of compression", "compress/gzip": "it knows nothing of compression",
	"compress/zlib": "it knows nothing of compression", "./internal/gzipexact": "it knows nothing of compression",
}

// everywhere is banned in all that is shipped.
var everywhere = map[string]string{
	"testing":                  "tests are not shipped",
	"./internal/bundletest":    "tests are not shipped",
	"./internal/realtest":      "tests are not shipped",
	"github.com/docker/docker": "the engine is spoken to over its API; moby/moby's client is enough",
	"plugin":                   "nothing is loaded into the process",
	"net/http/pprof":           "no port is opened for it",
}

func merge(all ...map[string]string) map[string]string {
	merged := map[string]string{}
	for _, m := range all {
		for path, reason := range m {
			merged[path] = reason
		}
	}
	return merged
}

const module = "airlock"

// full returns an import path; "./x" is the module's own.
func full(path string) string {
	if rest, ok := strings.CutPrefix(path, "."); ok {
		return module + rest
	}
	return path
}

// linked is a package as go list shows it.
type linked struct {
	ImportPath string
	Imports    []string
}

// deps returns all that a package links, without the package itself.
func deps(t *testing.T, path string) map[string]linked {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports", full(path))
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.Bytes())
	}
	all := map[string]linked{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p linked
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	if len(all) == 0 {
		t.Fatalf("%s links nothing", path)
	}
	return all
}

// covered reports whether an import path is the banned one or lies below it.
func covered(path, banned string) bool {
	return path == banned || strings.HasPrefix(path, banned+"/")
}

// why returns how root comes to link target: a chain of imports.
func why(all map[string]linked, root, target string) string {
	seen := map[string]bool{}
	var walk func(at string) []string
	walk = func(at string) []string {
		if at == target {
			return []string{at}
		}
		seen[at] = true
		for _, next := range all[at].Imports {
			if seen[next] {
				continue
			}
			if rest := walk(next); rest != nil {
				return append([]string{at}, rest...)
			}
		}
		return nil
	}
	return strings.Join(walk(root), " → ")
}

func checkBans(t *testing.T, root string, all map[string]linked, bans map[string]string) {
	t.Helper()
	for banned, reason := range bans {
		for path := range all {
			own := path == full(root) || (strings.HasPrefix(path, full(root)+"/") && full(banned) != path)
			if !own && covered(path, full(banned)) {
				t.Errorf("%s links %s: %s\n\t%s", root, path, reason, why(all, full(root), path))
			}
		}
	}
}

// exists reports whether the tree has the package; some are not written yet.
func exists(t *testing.T, root string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", root, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") })
}

func TestImports(t *testing.T) {
	checked := 0
	for root, list := range bans {
		if !exists(t, root) {
			t.Logf("%s does not exist", root)
			continue
		}
		checked++
		checkBans(t, root, deps(t, root), list)
	}
	if checked < 10 {
		t.Errorf("only %d packages were checked", checked)
	}
}

func TestDirectImports(t *testing.T) {
	for root, list := range direct {
		own := deps(t, root)[full(root)]
		if len(own.Imports) == 0 {
			t.Errorf("%s imports nothing", root)
		}
		for banned, reason := range list {
			if slices.Contains(own.Imports, full(banned)) {
				t.Errorf("%s imports %s: %s", root, banned, reason)
			}
		}
	}
}

func TestShippedPrograms(t *testing.T) {
	for _, root := range []string{"./cmd/bundle", "./cmd/unbundle"} {
		all := deps(t, root)
		if _, ok := all[module+"/internal/manifest"]; !ok {
			t.Errorf("%s does not link manifest: is this a program at all?", root)
		}
		checkBans(t, root, all, everywhere)
	}
}

// TestBansBite holds that the checks see what is there: these are linked.
func TestBansBite(t *testing.T) {
	all := deps(t, "./internal/archive")
	for _, path := range []string{"github.com/klauspost/compress", "./internal/manifest", "./internal"} {
		found := false
		for linked := range all {
			found = found || (linked != full("./internal/archive") && covered(linked, full(path)))
		}
		if !found {
			t.Errorf("./internal/archive is not seen to link %s", path)
		}
	}
}

// source is a Go file that is no test.
type source struct {
	path string // from the top of the tree
	file *ast.File
}

// sources parses every Go file that is shipped.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, top := range []string{"../cmd", "../internal"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == "testdata" {
				return fs.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			all = append(all, source{strings.TrimPrefix(filepath.ToSlash(path), "../"), file})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 50 {
		t.Fatalf("found %d files", len(all))
	}
	return all
}

// calls returns how often each pkg.Func of these stands in a file.
func calls(file *ast.File, names ...string) map[string]int {
	counts := map[string]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := selector.X.(*ast.Ident); ok && slices.Contains(names, pkg.Name+"."+selector.Sel.Name) {
			counts[pkg.Name+"."+selector.Sel.Name]++
		}
		return true
	})
	return counts
}

// forTests says which packages only tests link.
func forTests(path string) bool {
	return strings.HasPrefix(path, "internal/realtest/") || strings.HasPrefix(path, "internal/bundletest/")
}

func TestOneWayOut(t *testing.T) {
	exits := 0
	for _, s := range sources(t) {
		if forTests(s.path) {
			continue
		}
		found := calls(s.file, "os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "runtime.Goexit", "syscall.Exit", "unix.Exit", "context.Background", "context.TODO")
		exits += found["os.Exit"]
		for name, n := range found {
			if !strings.HasPrefix(s.path, "internal/cli/") {
				t.Errorf("%s: %s stands %d times; it may stand in internal/cli only", s.path, name, n)
			} else if name != "os.Exit" && name != "context.Background" {
				t.Errorf("%s: %s stands %d times; it may stand nowhere", s.path, name, n)
			}
		}
	}
	if exits != 1 {
		t.Errorf("os.Exit stands %d times, want once", exits)
	}
}

func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", s.path)
			}
		}
	}
}

// TestVerifiedHasOneMaker holds that manifest.Verified is made in one place:
// its composite literal stands once, inside Open, and new(Verified) nowhere.
func TestVerifiedHasOneMaker(t *testing.T) {
	made := 0
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.path, "internal/manifest/") {
			continue
		}
		for _, decl := range s.file.Decls {
			ast.Inspect(decl, func(n ast.Node) bool {
				literal, ok := n.(*ast.CompositeLit)
				if !ok {
					return true
				}
				if name, ok := literal.Type.(*ast.Ident); ok && name.Name == "Verified" {
					made++
					if f, ok := decl.(*ast.FuncDecl); !ok || f.Name.Name != "Open" {
						t.Errorf("%s makes a Verified outside Open", s.path)
					}
				}
				return true
			})
		}
	}
	if made != 1 {
		t.Errorf("Verified is made in %d places, want one", made)
	}
}

// TestEnvironment lists who reads the environment: nothing that decides about
// trust does.
func TestEnvironment(t *testing.T) {
	for _, s := range sources(t) {
		for _, pkg := range []string{"trust", "manifest", "volume", "archive", "load", "oci", "create", "inspect", "media", "release", "tarfs"} {
			if !strings.HasPrefix(s.path, "internal/"+pkg+"/") {
				continue
			}
			for name := range calls(s.file, "os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv") {
				t.Errorf("%s calls %s; no environment variable weakens a check", s.path, name)
			}
		}
	}
}
