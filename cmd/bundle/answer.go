package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
	"airlock/internal/journey"
	"airlock/internal/manifest"
	"airlock/internal/transfer"
	"airlock/internal/volume"
)

// answering is the flags of send for whoever has lost a part of a bundle.
type answering struct {
	request string
	trusted commands.Trust
}

func (a *answering) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.request, "answer", "", "`REQUEST` of unbundle repair: send one small file of just the blocks that it asks for")
	a.trusted.AddFor(cmd, "answer")
}

// run writes the answer to each destination: standard output ("-"), a server,
// a folder or a new file.
func (a *answering) run(cmd *cobra.Command, env *cli.Env, s *sending, path string, to []string) error {
	q, err := readRequest(a.request)
	if err != nil {
		return err
	}
	allowed, err := a.trusted.Read()
	if err != nil {
		return err
	}
	files, err := commands.OpenBundle(cmd, path, ".")
	if err != nil {
		return err
	}
	defer files.Close()
	verified, err := manifest.Open(files, allowed, env.Now())
	if err != nil {
		return commands.AsIncomplete(err, path, files)
	}
	space, err := volume.NewReader(verified, files)
	if err != nil {
		return err
	}
	defer space.Close()
	for _, place := range to {
		if err := s.writeAnswer(cmd, env, place, space, q); err != nil {
			return requestHint(fmt.Errorf("%s: %w", place, err))
		}
	}
	return nil
}

func readRequest(path string) (*volume.Request, error) {
	text, err := manifest.ReadFile(os.DirFS(filepath.Dir(path)), filepath.Base(path), volume.MaxRequest)
	if err != nil {
		return nil, err
	}
	q, err := volume.ParseRequest(asSent(text))
	if err != nil {
		return nil, requestHint(fmt.Errorf("%q: %w", path, err))
	}
	return q, nil
}

// asSent undoes what a mail does to a request: the ends of its lines, and what
// stands empty around them.
func asSent(text []byte) []byte {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

func requestHint(err error) error {
	if errors.Is(err, volume.ErrRequest) {
		return cli.Hint(err, "name the bundle that the request is for; it can be written again where the blocks are missing: unbundle repair BUNDLE --request FILE")
	}
	return err
}

func (s *sending) writeAnswer(cmd *cobra.Command, env *cli.Env, place string, space *volume.Reader, q *volume.Request) error {
	if place == "-" {
		return space.Answer(q, cmd.OutOrStdout())
	}
	m := space.Verified().Manifest()
	name := create.Stem(m.Release, m.Version) + ".answer"
	w, err := s.openAnswer(cmd, env, place, name)
	if err != nil {
		return err
	}
	err = space.Answer(q, w)
	if err = errors.Join(err, w.end(err == nil)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s of %s to %s\n", cli.Count(len(q.Blocks), "block"), m.Title(), w.where)
	return err
}

// answerFile is an answer that is being written.
type answerFile struct {
	io.Writer
	where string
	end   func(whole bool) error // gives it its name, if it is whole
}

// openAnswer opens an answer's file in a folder or on a server under the given
// name, or the file that the place itself names.
func (s *sending) openAnswer(cmd *cobra.Command, env *cli.Env, place, name string) (*answerFile, error) {
	if commands.IsURL(place) {
		server, err := s.sftp.Dial(cmd.Context(), env, place)
		if err != nil {
			return nil, err
		}
		w, err := server.Create(name)
		if err != nil {
			return nil, errors.Join(err, server.Close())
		}
		end := func(whole bool) error {
			if !whole {
				transfer.Abandon(w)
				return server.Close()
			}
			return errors.Join(w.Close(), server.Close())
		}
		return &answerFile{w, place + "/" + name, end}, nil
	}
	folder := place
	if info, err := os.Stat(place); err != nil || !info.IsDir() {
		folder, name = filepath.Split(place)
	}
	dir, err := transfer.NewDir(filepath.Clean(folder))
	if err != nil {
		return nil, err
	}
	f, err := dir.Rebuild(name)
	if err != nil {
		return nil, err
	}
	end := func(whole bool) error {
		if !whole {
			f.Abandon()
			return nil
		}
		return errors.Join(f.Close(), dir.Sync())
	}
	return &answerFile{&atEnd{file: f}, filepath.Join(folder, name), end}, nil
}

// atEnd writes one run of bytes behind the other.
type atEnd struct {
	file *transfer.Amendment
	at   int64
}

func (w *atEnd) Write(p []byte) (int, error) {
	n, err := w.file.WriteAt(p, w.at)
	w.at += int64(n)
	return n, err
}

// toStream writes the bundle to standard output.
func (s *sending) toStream(cmd *cobra.Command, env *cli.Env, b *journey.Bundle, to []string) error {
	if len(to) > 1 {
		return cli.Usagef("standard output (-) is a destination for itself")
	}
	for _, name := range []string{"span", "anew", "replace", "read-back", "media"} {
		if cmd.Flags().Changed(name) {
			return cli.Usagef("--%s is not for standard output (-)", name)
		}
	}
	w, err := standardOutput(cmd)
	if err != nil {
		return err
	}
	show, stop := cli.Progress(env.Stderr, s.output.Quiet)
	defer stop()
	return stream(cmd.Context(), b, w, show)
}
