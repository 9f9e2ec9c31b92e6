package create

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"airlock/internal/gzipexact"
)

// Settle returns the options with Fast in place of Auto where that is already
// certain to be the better: where the beginnings of the blobs show that they
// decompress to so much that all that could be gained by packing them small is
// less than what it takes to read the bases, and to have the whole bundle on
// disk before it goes on its way. It fetches these beginnings, and nothing of
// them is proven.
func (c *Contents) Settle(ctx context.Context, o Options) (Options, error) {
	if o.Pack != Auto || o.Plain() {
		return o, nil
	}
	gain, err := c.gain(ctx, o)
	if err == nil && gain <= float64(o.Bases.Size())/learnRate+float64(c.Size())/carryRate {
		o.Pack = Fast
	}
	return o, err
}

// gain returns how many seconds sooner the far side has the release at the very
// best, if copies make all that packing small pays for disappear.
func (c *Contents) gain(ctx context.Context, o Options) (float64, error) {
	var mu sync.Mutex
	var sum float64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, it := range c.items {
		if it.raw != nil || o.Bases.Has(it.Digest) {
			continue
		}
		group.Go(func() error {
			data, err := it.begin(ctx, min(it.Size, minSample))
			if err != nil {
				return it.explain(err)
			}
			gain := it.atBest(data, o.Link)
			mu.Lock()
			defer mu.Unlock()
			sum += max(gain, 0)
			return nil
		})
	}
	return sum, group.Wait()
}

// atBest returns how many seconds sooner the far side can have an item that
// begins with data; negative: later.
func (it item) atBest(data []byte, link int64) float64 {
	switch {
	case strings.HasSuffix(it.MediaType, "zstd"):
		return 0
	case !bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return float64(it.Size)/float64(link) - float64(it.Size)/packRate
	}
	in := bytes.NewReader(data)
	buffered := bufio.NewReaderSize(in, 64<<10)
	content, _ := io.Copy(io.Discard, gzipexact.NewReader(buffered)) // data is cut
	read := int64(len(data) - in.Len() - buffered.Buffered())
	return trial{content: content, tried: content}.worth(it.Size, read).seconds(it.Size, link)
}
