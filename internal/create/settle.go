package create

import (
	"context"
	"io"
)

// worthwhile is to which part of its time with Fast a journey must come down at
// best for it to be worth looking at each blob. What comes of that is less.
const worthwhile = 0.9

// Settle returns the options with Fast in place of Auto where hardly anything can
// be gained by packing small: where the beginnings of the blobs show that they
// decompress to so much that, even if copies made all of it disappear, the far
// side would have the release little sooner. It fetches these beginnings, and
// nothing of them is proven.
func (c *Contents) Settle(ctx context.Context, o Options) (Options, error) {
	if o.Pack != Auto || o.Plain() {
		return o, nil
	}
	begun, err := c.beginnings(ctx, o)
	if err != nil {
		return o, err
	}
	best, fast := o.journey(), int64(0)
	for i, it := range c.items {
		if o.Bases.Has(it.Digest) {
			continue
		}
		fast += it.Size
		switch b := begun[i]; {
		case b.content > 0 && best.gain(it.Size, worth{content: b.content}) > 0:
			best = best.small(worth{content: b.content})
		case b.content > 0 || b.packed > 0:
			best = best.asItIs(it.Size)
		default:
			best = best.copied(it.Size, 0)
		}
	}
	if best.seconds() > worthwhile*float64(fast)/float64(o.Link) {
		o.Pack = Fast
	}
	return o, nil
}

// beginnings tells what the items that no base has decompress to.
func (c *Contents) beginnings(ctx context.Context, o Options) ([]worth, error) {
	all := make([]worth, len(c.items))
	err := c.eachItem(ctx, func(ctx context.Context, i int, it item) error {
		if o.Bases.Has(it.Digest) {
			return nil
		}
		data, err := it.begin(ctx, min(it.Size, minSample))
		if err == nil {
			all[i] = it.unpacked(data)
		}
		return err
	})
	return all, err
}

// unpacked tells what an item that begins with data decompresses to, if it is
// gzip. One that is compressed otherwise takes what it takes.
func (it item) unpacked(data []byte) worth {
	switch {
	case it.isZstd():
		return worth{packed: it.Size}
	case !isGzip(data):
		return worth{}
	}
	in, read := inflateBeginning(data)
	content, _ := io.Copy(io.Discard, in) // data is cut
	return trial{content: content, tried: content}.worth(it.Size, read())
}
