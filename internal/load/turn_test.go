package load_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"airlock/internal/archive"
	"airlock/internal/bundletest"
	"airlock/internal/create"
	"airlock/internal/load"
	"airlock/internal/oci"
	"airlock/internal/progress"
	"airlock/internal/transfer"
)

// Of rebuilt blobs only some have their turn at a time, of others all; and who
// waits for a turn stops when told to.
func TestTurn(t *testing.T) {
	r, config, layer := smallRelease(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	var last func()
	turns := 0
	for ; turns < 1000; turns++ {
		done, err := r.Turn(over, layer)
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last = done
	}
	if turns < 2 || turns == 1000 {
		t.Fatalf("%d turns at a time", turns)
	}
	if _, err := r.Turn(over, config); err != nil {
		t.Errorf("a blob as it is: %v", err)
	}
	last()
	if _, err := r.Turn(over, layer); err != nil {
		t.Errorf("a turn that is free: %v", err)
	}
}

// smallRelease is a release of one image, whose layer is rebuilt.
func smallRelease(t *testing.T) (r *load.Release, config, layer oci.Descriptor) {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(bytes.Repeat([]byte("the layer's content\n"), 5000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	source := bundletest.NewSource()
	raw := []byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`)
	config = oci.Descriptor{MediaType: oci.TypeConfig, Size: int64(len(raw)), Digest: source.Add(raw)}
	layer = oci.Descriptor{MediaType: oci.TypeLayer, Size: int64(z.Len()), Digest: source.Add(z.Bytes())}
	describe := func(d oci.Descriptor) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, d.MediaType, d.Digest, d.Size)
	}
	source.SetRoot(oci.TypeManifest, source.Add(fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`,
		oci.TypeManifest, describe(config), describe(layer))))
	kit, dir := bundletest.NewKit(t), t.TempDir()+"/bundle"
	sink, err := transfer.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := create.Collect(t.Context(), bundletest.Release(source))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := contents.Write(t.Context(), sink, create.Options{
		Pack: create.Small, Bases: archive.NewBases(), Spool: t.TempDir(), Progress: progress.Discard,
		Signatures: []create.Signature{{Principal: bundletest.Principal, Signer: kit.Key}},
	}); err != nil {
		t.Fatal(err)
	}
	blobs, err := archive.Open(os.DirFS(dir), kit.Allowed, bundletest.Created)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	if r, err = load.NewRelease(t.Context(), blobs); err != nil {
		t.Fatal(err)
	}
	return r, config, layer
}
