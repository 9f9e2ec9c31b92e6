//go:build linux

package realtest

import (
	"bytes"
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func TestCorpusIsWhatAnotherToolSees(t *testing.T) {
	r := Registry(t)
	c := PushCorpus(t, r.Addr)
	crane := Tool(t, "crane")
	for _, im := range c.All() {
		if got := output(t, exec.Command(crane, "digest", im.Ref)); got != im.Digest {
			t.Errorf("%s has digest %s, want %s", im.Ref, got, im.Digest)
		}
	}
	images := append(c.Runnable(), c.NoLayers)
	for _, im := range append(images, c.Multi.Children[:2]...) {
		if im == c.Zstd || im == c.Plain {
			continue // crane validates gzip only; see TestLayersThatAreNotGzip
		}
		// Reads every layer and compares its digest and diffID.
		output(t, exec.Command(crane, "validate", "--platform", "linux/amd64", "--remote", im.Pinned))
	}
	for _, im := range images {
		raw := output(t, exec.Command(crane, "config", "--platform", "linux/amd64", im.Ref))
		if got := digest([]byte(raw)); got != im.ConfigDigest {
			t.Errorf("%s has config %s, want %s", im.Ref, got, im.ConfigDigest)
		}
		var seen config
		if err := json.Unmarshal([]byte(raw), &seen); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(seen.RootFS.DiffIDs, im.DiffIDs) || len(im.DiffIDs) != len(im.Layers) {
			t.Errorf("%s has diffIDs %q, want %q", im.Ref, seen.RootFS.DiffIDs, im.DiffIDs)
		}
	}
	tags := strings.Fields(output(t, exec.Command(crane, "ls", c.Signed.Repo)))
	if len(c.Signed.Extras) != 4 || len(tags) != 5 {
		t.Errorf("signed has %d extras and tags %q", len(c.Signed.Extras), tags)
	}
	for _, x := range c.Signed.Extras {
		if x.Kind != "referrer" {
			if got := output(t, exec.Command(crane, "digest", c.Signed.Repo+":"+x.Tag)); got != x.Digest {
				t.Errorf("%s has digest %s, want %s", x.Tag, got, x.Digest)
			}
			continue
		}
		list := output(t, exec.Command(crane, "manifest", c.Signed.Repo+":"+x.Tag))
		own := output(t, exec.Command(crane, "manifest", c.Signed.Repo+"@"+x.Digest))
		if !strings.Contains(list, x.Digest) || !strings.Contains(own, `"subject":{`) || !strings.Contains(own, x.Subject) {
			t.Errorf("referrer %+v: index %s, manifest %s", x, list, own)
		}
	}
}

func TestLayersThatAreNotGzip(t *testing.T) {
	c := Registry(t).PushCorpus()
	if !slices.Equal(c.Plain.Layers, c.Plain.DiffIDs) || len(c.Plain.Layers) == 0 {
		t.Errorf("plain has layers %q and diffIDs %q", c.Plain.Layers, c.Plain.DiffIDs)
	}
	for i, layer := range c.Zstd.Layers {
		cmd := exec.Command(Tool(t, "zstd"), "-dc")
		cmd.Stdin = bytes.NewReader(c.Blobs[layer])
		plain, err := cmd.Output()
		if err != nil || digest(plain) != c.Zstd.DiffIDs[i] {
			t.Errorf("layer %s is not %s: %v", layer, c.Zstd.DiffIDs[i], err)
		}
	}
}

func TestCorpusIsDeterministic(t *testing.T) {
	a, b := Registry(t).PushCorpus(), Registry(t).PushCorpus()
	for _, pair := range [][2]map[string][]byte{{a.Blobs, b.Blobs}, {a.Manifests, b.Manifests}} {
		one, two := slices.Sorted(maps.Keys(pair[0])), slices.Sorted(maps.Keys(pair[1]))
		if len(one) == 0 || !slices.Equal(one, two) {
			t.Errorf("pushed %q, then %q", one, two)
		}
	}
	size := 0
	for _, content := range a.Blobs {
		size += len(content)
	}
	t.Logf("%d blobs of %d bytes, %d manifests", len(a.Blobs), size, len(a.Manifests))
	if size > 16<<20 {
		t.Errorf("the corpus has %d bytes", size)
	}
}

func TestCorpusShapes(t *testing.T) {
	c := Registry(t).PushCorpus()
	if c.TwinA.Layers[0] != c.TwinB.Layers[0] || c.TwinA.Digest == c.TwinB.Digest {
		t.Error("the twins do not share a layer, or are the same")
	}
	if c.Empty.Layers[1] != c.Empty.Layers[2] {
		t.Error("empty does not have one layer twice")
	}
	if got := c.Blobs[c.ZeroBlob.Layers[0]]; got == nil && len(got) != 0 {
		t.Errorf("zeroblob's blob is %q", got)
	}
	if !strings.Contains(string(c.Manifests[c.NoLayers.Digest]), `"layers":[]`) {
		t.Errorf("nolayers is %s", c.Manifests[c.NoLayers.Digest])
	}
	var platforms []string
	for _, child := range c.Multi.Children {
		platforms = append(platforms, child.Platform)
	}
	if want := []string{"linux/amd64", "linux/arm64/v8", "unknown/unknown"}; !slices.Equal(platforms, want) {
		t.Errorf("multi has %q, want %q", platforms, want)
	}
	for name, want := range map[string]*Image{"+zstd": c.Zstd, "rootfs.diff.tar.gzip": c.Schema2, "v1.tar\"": c.Plain} {
		if !strings.Contains(string(c.Manifests[want.Digest]), name) {
			t.Errorf("%s has no layer of type %s", want.Ref, name)
		}
	}
}
