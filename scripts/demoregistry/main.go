// Command demoregistry is the outside world of scripts/demo: it makes a small
// image, serves it from an in-process registry on loopback, and prints
// "HOST:PORT" when all is there. It ends when its standard input does.
package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), ReadHeaderTimeout: time.Minute}
	go server.Serve(listener)
	host := listener.Addr().String()
	if err := push(host); err != nil {
		return err
	}
	fmt.Println(host)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return server.Close()
}

// push makes an index of the image for two platforms and pushes it.
func push(host string) error {
	var index v1.ImageIndex = empty.Index
	for _, arch := range []string{"amd64", "arm64"} {
		image, err := makeImage(arch)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	ref, err := name.NewTag(host + "/shop/web:1.4.0")
	if err != nil {
		return err
	}
	return remote.WriteIndex(ref, index)
}

// makeImage returns an image that holds a page for a platform.
func makeImage(arch string) (v1.Image, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	page := bytes.Repeat([]byte("Hello from the other side of the air gap, on "+arch+".\n"), 2000)
	if err := w.WriteHeader(&tar.Header{Name: "srv/index.html", Mode: 0o644, Size: int64(len(page))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(page); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	return mutate.ConfigFile(image, config)
}
