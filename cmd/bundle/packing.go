package main

import (
	"runtime/debug"

	"github.com/spf13/cobra"

	"airlock/internal/archive"
	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
	"airlock/internal/media"
)

// packing is the flags that say how small a bundle is to be.
type packing struct {
	mode    string
	link    string
	bases   []string
	trusted commands.Trust
}

func (p *packing) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.mode, "pack", "", "`HOW`: fast, small, or auto for what arrives sooner (default: fast; with --link or --base, auto)")
	f.StringVar(&p.link, "link", "", "`RATE` of the slowest part of the journey, such as 10MB/s, for --pack auto (default 30MB/s)")
	f.StringSliceVar(&p.bases, "base", nil, "`BUNDLE` that the far side has: a path (of each stick, if it is spread over several), or a name of bundle history; what it holds is not packed again")
	p.trusted.AddFor(cmd, "base")
}

// smallMemory is what the garbage collector lets the process grow to when
// packing small, in bytes, under the 1 GiB that is promised.
const smallMemory = 800 << 20

// read reads how to pack.
func (p *packing) read() (o create.Options, err error) {
	if o.Pack, err = p.pack(); err != nil {
		return o, err
	}
	if o.Pack == create.Fast && len(p.bases) > 0 {
		return o, cli.Usagef("--base goes with --pack small or auto")
	}
	o.Link, err = p.rate()
	return o, err
}

// openBases sets what to pack upon, and returns what closes it.
func (p *packing) openBases(env *cli.Env, o *create.Options) (closeBases func(), err error) {
	if o.Pack == create.Fast {
		return func() {}, nil
	}
	debug.SetMemoryLimit(smallMemory)
	o.Bases, closeBases, err = p.open(env)
	return closeBases, err
}

func (p *packing) pack() (create.Pack, error) {
	mode := p.mode
	if mode == "" && (p.link != "" || len(p.bases) > 0) {
		mode = "auto"
	}
	switch mode {
	case "", "fast":
		return create.Fast, nil
	case "small":
		return create.Small, nil
	case "auto":
		return create.Auto, nil
	}
	return 0, cli.Usagef("--pack %q: want fast, small or auto", mode)
}

// defaultLink is a USB stick's writing and reading, or a fair network.
const defaultLink = 30e6

func (p *packing) rate() (int64, error) {
	if p.link == "" {
		return defaultLink, nil
	}
	return cli.ParseRate(p.link)
}

// open opens the bases, each on the others, and returns what closes them.
func (p *packing) open(env *cli.Env) (*archive.Bases, func(), error) {
	if len(p.bases) == 0 {
		return archive.NewBases(), func() {}, nil
	}
	allowed, err := p.trusted.Read()
	if err != nil {
		return nil, nil, err
	}
	paths, err := namedBases(p.bases)
	if err != nil {
		return nil, nil, err
	}
	bundles, err := media.OpenAll(paths)
	if err != nil {
		return nil, nil, err
	}
	bases, err := archive.OpenBases(bundles.Files(), allowed, env.Now())
	if err != nil {
		bundles.Close()
		return nil, nil, err
	}
	return bases, func() {
		bases.Close()
		bundles.Close()
	}, nil
}
