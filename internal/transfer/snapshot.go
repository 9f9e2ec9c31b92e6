package transfer

import (
	"bytes"
	"context"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"
)

const (
	// snapshotFile is the largest file that a snapshot holds, and snapshotAll how
	// many bytes it holds in all: the small files of a bundle of 100 GB.
	snapshotFile = 4 << 20
	snapshotAll  = 16 << 20
)

// Snapshot is the files of a Server as they were at one time, to be read: an
// fs.FS, fs.ReadDirFS and fs.StatFS. Every file is an io.ReaderAt. Its list and
// its small files were fetched at once, so that asking for them takes no round
// trip; the others are read from the server when they are asked for.
type Snapshot struct {
	*Listed
	s     *Server
	infos map[string]fs.FileInfo
	held  map[string][]byte
}

// Snapshot lists the server's folder, and fetches the small files of it but those
// that leave tells to leave where they are.
func (s *Server) Snapshot(ctx context.Context, leave func(name string) bool) (*Snapshot, error) {
	listed, err := List(s.Files())
	if err != nil {
		return nil, err
	}
	shot := &Snapshot{listed, s, map[string]fs.FileInfo{}, map[string][]byte{}}
	var small []fs.FileInfo
	for _, e := range shot.list {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		shot.infos[e.Name()] = info
		if info.Mode().IsRegular() && info.Size() >= 0 && info.Size() <= snapshotFile && !leave(e.Name()) {
			small = append(small, info)
		}
	}
	slices.SortStableFunc(small, func(a, b fs.FileInfo) int { return int(a.Size() - b.Size()) })
	return shot, shot.fetch(ctx, small)
}

// fetch reads files whole, as far as they can be read and held.
func (shot *Snapshot) fetch(ctx context.Context, small []fs.FileInfo) error {
	data := make([][]byte, len(small))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * shot.s.small())
	room := int64(snapshotAll)
	for i, info := range small {
		if room -= info.Size(); room < 0 {
			break
		}
		g.Go(func() error {
			f := &remoteFile{s: shot.s, name: info.Name(), info: info}
			defer f.Close()
			b := make([]byte, info.Size())
			if readWhole(f, b, 0) == nil { // what is wrong with it shows when it is asked for
				data[i] = b
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, info := range small {
		if data[i] != nil {
			shot.held[info.Name()] = data[i]
		}
	}
	return nil
}

// Open opens a file, or with "." the folder itself.
func (shot *Snapshot) Open(name string) (fs.File, error) {
	if name == "." {
		return &remoteDir{r: shot.s.Files(), list: shot.list}, nil
	}
	info, err := shot.Stat(name)
	if err != nil {
		return nil, err
	}
	if data, ok := shot.held[name]; ok {
		return &heldFile{bytes.NewReader(data), info}, nil
	}
	return &remoteFile{s: shot.s, name: name, info: info}, nil
}

// Stat tells of a regular file, or of ".".
func (shot *Snapshot) Stat(name string) (fs.FileInfo, error) {
	info, ok := shot.infos[name]
	if !ok {
		return shot.Listed.Stat(name)
	}
	if err := plain(info); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info, nil
}

// heldFile is a file of a snapshot that was fetched.
type heldFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *heldFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *heldFile) Close() error               { return nil }
