package archive

// Caches returns how many caches the bases have.
func (b *Bases) Caches() int {
	all := map[*pageCache]bool{}
	for _, r := range b.all {
		all[r.cache] = true
	}
	return len(all)
}

// Learn learns the bases as NewBasedWriter does, with room to list so many gzip
// blobs, and returns how many are listed and how many pages may be copied.
func (b *Bases) Learn(most int) (listed, usable int, err error) {
	s := &small{bases: b, plain: true, most: most}
	err = s.learnAll()
	for page := range s.needs {
		if s.usable(int64(page)) {
			usable++
		}
	}
	return s.listed(), usable, err
}
