package volume_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"airlock/internal/manifest"
	"airlock/internal/progress"
	"airlock/internal/volume"
)

var requestRoot = manifest.DigestOf([]byte("root"))

func TestRequestText(t *testing.T) {
	q := volume.Request{Root: requestRoot, Blocks: []int64{0, 3, 4, 5, 7, 100}}
	want := "airlock-request-v1\nroot " + requestRoot.Hex() + "\n0\n3-5\n7\n100\n"
	if got := string(q.Marshal()); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	back, err := volume.ParseRequest([]byte(want))
	must(t, err)
	if back.Root != q.Root || !slices.Equal(back.Blocks, q.Blocks) {
		t.Errorf("%+v", back)
	}
}

func TestRequestRefused(t *testing.T) {
	head := "airlock-request-v1\nroot " + requestRoot.Hex() + "\n"
	for name, text := range map[string]string{
		"empty":         "",
		"no blocks":     head,
		"other version": strings.Replace(head, "v1", "v2", 1) + "1\n",
		"no root":       "airlock-request-v1\n1\n2\n",
		"capital root":  strings.ToUpper(head) + "1\n",
		"no end":        head + "1",
		"empty line":    head + "1\n\n",
		"carriage":      head + "1\r\n",
		"space":         head + " 1\n",
		"plus":          head + "+1\n",
		"zero":          head + "01\n",
		"minus":         head + "-1\n",
		"backwards":     head + "2-1\n",
		"one by one":    head + "1-1\n",
		"out of order":  head + "2\n1\n",
		"twice":         head + "1\n1\n",
		"touching":      head + "1\n2\n",
		"overlapping":   head + "1-4\n3\n",
		"too many":      head + "0-67108863\n",
		"too far":       head + "67108864\n",
		"overflow":      head + "9223372036854775808\n",
		"too long":      head + strings.Repeat("1\n", volume.MaxRequest),
	} {
		if q, err := volume.ParseRequest([]byte(text)); q != nil || !errors.Is(err, volume.ErrRequest) {
			t.Errorf("%s: %v, %v", name, q, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("airlock-request-v1\nroot " + requestRoot.Hex() + "\n0\n3-5\n7\n"))
	f.Add([]byte("airlock-request-v1\nroot " + requestRoot.Hex() + "\n0-100\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		q, err := volume.ParseRequest(text)
		if err != nil {
			return
		}
		if !bytes.Equal(q.Marshal(), text) {
			t.Errorf("%q is taken, but written as %q", text, q.Marshal())
		}
		if !slices.IsSorted(q.Blocks) || len(slices.Compact(q.Blocks)) != len(q.Blocks) || len(q.Blocks) == 0 {
			t.Errorf("blocks %v", q.Blocks)
		}
	})
}

// TestAnswer asks for blocks of a bundle without parity, and mends it.
func TestAnswer(t *testing.T) {
	space := pattern(13*block + 9)
	files, v := bundle(t, 4*block, space)
	q := &volume.Request{Root: v.Root(), Blocks: []int64{1, 5, 6, 13}}
	var answer bytes.Buffer
	must(t, open(t, v, files).Answer(q, &answer))
	p := &protected{files: files, v: v, space: space}
	hurt := func(text []byte) (*volume.Reader, error) {
		r := p.without(t, q.Blocks...)
		return r, r.SupplyAnswer(bytes.NewReader(text), int64(len(text)))
	}
	r, err := hurt(answer.Bytes())
	must(t, err)
	d, err := r.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
	must(t, err)
	if len(d.Bad) != 4 || len(d.Lost) != 0 || !d.Repairable() {
		t.Fatalf("%+v", d)
	}
	made := 0
	must(t, r.Mend(t.Context(), d, progress.Discard, func(b volume.Block, data []byte) error {
		made++
		equal(t, b.String(), data, space[b.Number*block:min(int64(len(space)), (b.Number+1)*block)])
		return nil
	}))
	if made != 4 {
		t.Errorf("%d blocks", made)
	}

	// A wrong bit in a block of the answer is as good as none.
	bad := bytes.Clone(answer.Bytes())
	bad[len(bad)-1] ^= 1
	r, err = hurt(bad)
	must(t, err)
	d, err = r.Survey(t.Context(), progress.Discard, func(volume.Block, []byte) error { return nil })
	must(t, err)
	if !slices.Equal(d.Lost, []int64{13}) {
		t.Errorf("lost %v", d.Lost)
	}
	for name, text := range map[string][]byte{
		"cut":       answer.Bytes()[:answer.Len()-1],
		"longer":    append(bytes.Clone(answer.Bytes()), 0),
		"a request": q.Marshal(),
		"empty":     nil,
		"other":     bytes.Replace(answer.Bytes(), []byte(v.Root().Hex()), []byte(requestRoot.Hex()), 1),
		"too far":   bytes.Replace(answer.Bytes(), []byte("\n13\n"), []byte("\n14\n"), 1),
	} {
		if _, err := hurt(text); !errors.Is(err, volume.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := open(t, v, files).Answer(&volume.Request{Root: requestRoot, Blocks: []int64{1}}, &answer); !errors.Is(err, volume.ErrRequest) {
		t.Error(err)
	}
	if err := p.without(t, 1).Answer(q, &answer); err == nil {
		t.Error("a bad block is given away")
	}
}
