package diff

import (
	"cmp"
	"slices"
	"strings"
)

// Directory sums up what changed below a folder of a layer.
type Directory struct {
	Path    string `json:"path"` // with a slash at its end; "/" is the top, empty all other folders
	Added   int    `json:"added"`
	Changed int    `json:"changed"`
	Removed int    `json:"removed"`
	Bytes   int64  `json:"bytes"` // of the files that were added or changed
}

// How many folders a summary has: at most, and fewer than which say too little.
const (
	maxDirectories = 12
	fewDirectories = 4
)

// summarise counts changes, and lists them one by one or by folder.
func (c *comparing) summarise(all []Change, timesOnly int) *Files {
	f := &Files{TimesOnly: timesOnly}
	for i := range all {
		switch all[i].State {
		case Added:
			f.Added++
		case Changed:
			f.Changed++
		case Removed:
			f.Removed++
		}
	}
	if (len(all) <= maxFew || c.options.AllFiles) && len(all) <= c.listed {
		c.listed -= len(all)
		f.List = all
		return f
	}
	f.Directories = directories(all)
	return f
}

// directories sums up changes by folder: by folders as deep as can be without
// there being too many of them, or else by those that have the most.
func directories(all []Change) []Directory {
	var sums []Directory
	for depth := 1; ; depth++ {
		deeper := byFolder(all, depth)
		switch {
		case slices.Equal(deeper, sums):
			return sums
		case len(deeper) > maxDirectories && len(sums) < fewDirectories:
			return mostAndRest(deeper)
		case len(deeper) > maxDirectories:
			return sums
		}
		sums = deeper
	}
}

// byFolder sums up changes by the first so many parts of their folders' paths.
func byFolder(all []Change, depth int) []Directory {
	var sums []Directory
	places := map[string]int{}
	for i := range all {
		path := folderOf(all[i].Path, depth)
		at, ok := places[path]
		if !ok {
			at = len(sums)
			places[path] = at
			sums = append(sums, Directory{Path: path})
		}
		sums[at].add(&all[i])
	}
	slices.SortFunc(sums, func(a, b Directory) int { return strings.Compare(a.Path, b.Path) })
	return sums
}

func (d *Directory) add(c *Change) {
	switch c.State {
	case Added:
		d.Added++
	case Changed:
		d.Changed++
	case Removed:
		d.Removed++
	}
	if c.State != Removed {
		d.Bytes += c.Size
	}
}

func (d *Directory) count() int { return d.Added + d.Changed + d.Removed }

// folderOf returns the folder that a path lies in, at most depth parts of it.
func folderOf(path string, depth int) string {
	end := 0
	for range depth {
		at := strings.IndexByte(path[end:], '/')
		if at < 0 {
			break
		}
		end += at + 1
	}
	if end == 0 {
		return "/"
	}
	return path[:end]
}

// mostAndRest keeps the folders with the most changes, and sums up the others.
func mostAndRest(sums []Directory) []Directory {
	slices.SortStableFunc(sums, func(a, b Directory) int { return cmp.Compare(b.count(), a.count()) })
	var rest Directory
	for _, d := range sums[maxDirectories-1:] {
		rest.Added, rest.Changed, rest.Removed, rest.Bytes = rest.Added+d.Added, rest.Changed+d.Changed, rest.Removed+d.Removed, rest.Bytes+d.Bytes
	}
	sums = sums[:maxDirectories-1]
	slices.SortFunc(sums, func(a, b Directory) int { return strings.Compare(a.Path, b.Path) })
	return append(sums, rest)
}
