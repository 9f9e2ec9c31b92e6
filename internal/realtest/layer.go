//go:build linux

package realtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// made is the time of everything in the corpus.
func made() time.Time { return time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC) }

// A folder is the files of a layer, in the layer's order.
type folder []file

type file struct {
	name string
	mode int64 // 0 is 0644
	kind byte  // of a tar entry; 0 is a file, or a folder if the name ends in "/"
	link string
	body []byte
}

// tar returns the layer's uncompressed bytes.
func (f folder) tar() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, one := range f {
		header := &tar.Header{
			Name: one.name, Linkname: one.link, Typeflag: one.kind,
			Mode: one.mode, Size: int64(len(one.body)), ModTime: made(), Format: tar.FormatPAX,
		}
		switch {
		case one.kind == 0 && strings.HasSuffix(one.name, "/"):
			header.Typeflag, header.Mode = tar.TypeDir, 0o755
		case one.kind == 0:
			header.Typeflag = tar.TypeReg
		}
		if header.Mode == 0 {
			header.Mode = 0o644
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(one.body); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// base is a layer that no other name has: a little of each kind of file, and
// 64 KiB of text that compresses as text does.
func (p *pusher) base(name string) folder {
	var words bytes.Buffer
	seed := sha256.Sum256([]byte(name))
	for words.Len() < 64<<10 {
		seed = sha256.Sum256(seed[:])
		for _, b := range seed {
			words.WriteString([]string{"carry ", "the ", "image ", "over ", "gap ", "and ", "prove\n", "it "}[b%8])
		}
	}
	return folder{
		{name: "etc/"},
		{name: "etc/name", body: []byte(name + "\n")},
		{name: "etc/motd", body: []byte("to be removed\n")},
		{name: "usr/"},
		{name: "usr/share/"},
		{name: "usr/share/text", body: words.Bytes()},
		{name: "usr/share/same-text", kind: tar.TypeLink, link: "usr/share/text"},
		{name: "usr/text", kind: tar.TypeSymlink, link: "share/text", mode: 0o777},
		{name: "usr/" + strings.Repeat("a-long-name/", 12), kind: tar.TypeDir, mode: 0o755},
		{name: "usr/share/ünïcode", mode: 0o4755},
	}
}

// program is a layer with the program that the corpus's images run. It removes
// a file of base with a whiteout (OCI image-spec, layer.md).
func (p *pusher) program() folder {
	return folder{
		{name: "etc/"},
		{name: "etc/.wh.motd"},
		{name: "hello", mode: 0o755, body: p.hello},
	}
}

func gzipped(plain []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	return written(&b, w, plain)
}

func zstded(plain []byte) ([]byte, error) {
	var b bytes.Buffer
	// With more than one goroutine, the blocks could depend on the machine.
	w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return written(&b, w, plain)
}

func stored(plain []byte) ([]byte, error) { return plain, nil }

func written(to *bytes.Buffer, w io.WriteCloser, plain []byte) ([]byte, error) {
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err := w.Close()
	return to.Bytes(), err
}

// greeter returns the static program that prints [Greeting]. It is built once,
// since that takes a second.
var greeter = sync.OnceValues(buildGreeter)

const greeterSource = `package main

import "os"

func main() {
	os.Stdout.WriteString("` + Greeting + `\n")
	if len(os.Args) > 1 {
		os.Stdin.Read(make([]byte, 1))
	}
}
`

func buildGreeter() ([]byte, error) {
	goCommand, err := findSystem("go")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "al-hello-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "hello.go"), []byte(greeterSource), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(goCommand, "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", "hello", "hello.go")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1",
		"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GO111MODULE=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(filepath.Join(dir, "hello"))
}
