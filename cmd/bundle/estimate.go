package main

import (
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
	"airlock/internal/human"
)

// runEstimate tells what the release would come to in each way of packing. It
// needs neither a key nor a place to write to.
func (c *creation) runEstimate(cmd *cobra.Command, env *cli.Env, args []string) error {
	file, base, err := c.wish.file(args)
	if err != nil {
		return err
	}
	o, closeBases, err := c.packing.estimate(env)
	if err != nil {
		return err
	}
	defer closeBases()
	if err := c.from.setSpool(c.out); err != nil {
		return err
	}
	o.Meets, c.from.quiet = commands.IsURL(c.out), c.output.Quiet
	if err := c.from.open(cmd, base); err != nil {
		return err
	}
	defer c.from.close()
	rel, err := c.release(cmd.Context(), file)
	if err != nil {
		return err
	}
	contents, err := c.collect(cmd.Context(), env, rel)
	if err != nil {
		return err
	}
	var stop func()
	o.Progress, stop = cli.Progress(env.Stderr, c.output.Quiet)
	e, err := contents.Estimate(cmd.Context(), o)
	stop()
	if err != nil {
		return err
	}
	if c.output.JSON {
		return commands.PrintJSON(cmd, newEstimated(rel, e))
	}
	return newEstimated(rel, e).print(cmd.OutOrStdout())
}

// meeting says why the whole takes less time than its parts.
const meeting = "What is packed is on its way to the server while more is packed: TOGETHER has CREATE\nand JOURNEY side by side.\n"

// estimate returns the options of an estimate, and what closes the bases. All
// ways of packing are estimated, whichever is asked for.
func (p *packing) estimate(env *cli.Env) (create.Options, func(), error) {
	var o create.Options
	if _, err := p.pack(); err != nil {
		return o, nil, err
	}
	link, err := p.rate()
	if err != nil {
		return o, nil, err
	}
	debug.SetMemoryLimit(smallMemory)
	bases, closeBases, err := p.open(env)
	if err != nil {
		return o, nil, err
	}
	o.Link, o.Bases = link, bases
	return o, closeBases, nil
}

// estimated is an estimate's result for programs.
type estimated struct {
	Release string          `json:"release"`
	Version string          `json:"version"`
	Images  int             `json:"images"`
	Blobs   int             `json:"blobs"` // with the documents
	Bytes   int64           `json:"bytes"` // of them
	Link    int64           `json:"link"`  // bytes a second
	Meets   bool            `json:"meets"` // the journey begins while more is packed: a total is less than its parts
	Modes   []estimatedMode `json:"modes"`
	Soonest string          `json:"soonest"` // the mode with which the far side has the release first
}

type estimatedMode struct {
	Pack    string  `json:"pack"`
	Bytes   int64   `json:"bytes"`
	Create  float64 `json:"createSeconds"`
	Journey float64 `json:"journeySeconds"`
	Load    float64 `json:"loadSeconds"`
	Total   float64 `json:"totalSeconds"`
}

func newEstimated(r create.Release, e *create.Estimate) *estimated {
	all := &estimated{Release: r.Name, Version: r.Version, Images: e.Images, Blobs: e.Blobs, Bytes: e.Bytes, Link: e.Link, Soonest: packName(e.Soonest().Pack), Meets: e.Meets}
	for _, m := range e.Modes {
		all.Modes = append(all.Modes, estimatedMode{packName(m.Pack), m.Bytes, inSeconds(m.Create), inSeconds(m.Journey), inSeconds(m.Load), inSeconds(m.Total())})
	}
	return all
}

func packName(p create.Pack) string {
	switch p {
	case create.Small:
		return "small"
	case create.Auto:
		return "auto"
	}
	return "fast"
}

// inSeconds returns a time in tenths of a second: no estimate is finer.
func inSeconds(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }

func (e *estimated) print(w io.Writer) error {
	fmt.Fprintf(w, "%s %s: %s, %s of %s; about, by the beginning of each, and nothing is written:\n",
		e.Release, e.Version, cli.Count(e.Images, "image"), cli.Count(e.Blobs, "blob"), human.Bytes(e.Bytes))
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "PACK\tBUNDLE\tCREATE\tJOURNEY\tLOAD\tTOGETHER")
	for _, m := range e.Modes {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Pack, human.Bytes(m.Bytes), about(m.Create), about(m.Journey), about(m.Load), about(m.Total))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if e.Meets {
		fmt.Fprint(w, meeting)
	}
	_, err := fmt.Fprintf(w, `With %s a second (--link), the far side has it first with --pack %s.
The times are those of one plain core, with images that come from and go to
places near by. What lies far back in a layer may pack otherwise, and layers that
have much in common with each other pack smaller than this says.
`, human.Bytes(e.Link), e.Soonest)
	return err
}

// about tells how long something takes as finely as an estimate can.
func about(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return "<1 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", seconds)
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}
