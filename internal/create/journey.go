package create

// journey is the journey of a bundle as auto reckons with it: by which second
// things are done, for all blobs that have been decided on.
type journey struct {
	link    float64 // bytes a second of its slowest part
	meets   bool    // what is packed is on its way while more is packed
	packed  float64 // by then all is packed
	sent    float64 // by then all has arrived; unless meets, counted from packed on
	rebuilt float64 // how long the far side takes for it then
}

// journey returns the journey of a bundle whose bases are learnt, and of which
// nothing is packed yet.
func (o Options) journey() journey {
	j := journey{link: float64(o.Link), meets: o.Meets, packed: float64(o.Bases.Size()) / learnRate}
	if j.meets {
		j.sent = j.packed
	}
	return j
}

// after returns the journey after a blob has been packed in so many seconds, as so
// many bytes, and to be rebuilt of so much content.
func (j journey) after(pack float64, bytes, content int64) journey {
	j.packed += pack
	j.sent += float64(bytes) / j.link
	if j.meets {
		j.sent = max(j.sent, j.packed)
	}
	j.rebuilt += float64(content) / rebuildRate
	return j
}

// asItIs, small and copied return the journey after a blob has been packed so:
// copied is a blob that is no gzip and of which copies are looked for all the same.
func (j journey) asItIs(size int64) journey { return j.after(float64(size)/carryRate, size, 0) }
func (j journey) small(e worth) journey {
	return j.after(float64(e.content)/packRate, e.packed, e.content)
}
func (j journey) copied(size, packed int64) journey {
	return j.after(float64(size)/packRate, packed, 0)
}

// without returns the journey as if a blob had not been packed as it is.
func (j journey) without(size int64) journey {
	j.packed -= float64(size) / carryRate
	j.sent -= float64(size) / j.link
	return j
}

// seconds returns when the far side has all.
func (j journey) seconds() float64 {
	if j.meets {
		return j.sent + j.rebuilt
	}
	return j.packed + j.sent + j.rebuilt
}

// gain returns how much sooner the far side has all if the next blob is packed
// small; negative: later.
func (j journey) gain(size int64, e worth) float64 {
	return j.asItIs(size).seconds() - j.small(e).seconds()
}

// Plain reports whether all is packed as it is, but for what a base has. Auto
// does so where the link is so fast that no gzip blob can gain, even if it took
// no bytes and decompressed to no more than itself: nothing is looked at then,
// and the bases are not read. Where not all is, what was written is read back.
func (o Options) Plain() bool {
	if o.Pack != Auto {
		return o.Pack == Fast
	}
	least := 1 / rebuildRate
	if !o.Meets {
		least += 1/packRate - 1/carryRate
	}
	return 1/float64(o.Link) <= least
}
