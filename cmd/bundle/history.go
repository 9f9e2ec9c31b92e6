package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"airlock/internal/catalogue"
	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
	"airlock/internal/human"
	"airlock/internal/manifest"
	"airlock/internal/transfer"
)

// history returns the catalogue of the bundles made here.
func history() (*catalogue.Catalogue, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("the history of bundles: %w", err)
	}
	return catalogue.At(filepath.Join(home, ".local", "state", "airlock", "history.jsonl")), nil
}

func historyCommand(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the bundles that were made here",
		Long: `Lists the bundles that create has put into folders, with what is in the folders
now: the bundle, nothing (it was moved or removed, or its medium is elsewhere), or
another bundle. Each can be named as a base: create --base shop-1.4.0, shop:1.4.0
or the first digits of its root.

The list lies in ~/.local/state/airlock/history.jsonl. It proves nothing: a base
is verified whichever way it is named.`,
		Example: "  bundle history\n  bundle history --json",
		Args:    cli.Args(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return showHistory(cmd, env, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// made is a bundle of the history for programs.
type made struct {
	catalogue.Entry
	State catalogue.State `json:"state"`
}

func showHistory(cmd *cobra.Command, env *cli.Env, asJSON bool) error {
	c, err := history()
	if err != nil {
		return err
	}
	entries, err := c.Entries()
	if err != nil {
		return err
	}
	all := []made{}
	for _, e := range entries {
		all = append(all, made{e, e.State()})
	}
	if asJSON {
		return commands.PrintJSON(cmd, all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(env.Stderr, "bundle: no bundle was put into a folder here yet")
		return err
	}
	return printHistory(cmd.OutOrStdout(), all)
}

var stateNotes = map[catalogue.State]string{
	catalogue.There:   "",
	catalogue.Missing: " (missing: moved, removed or elsewhere)",
	catalogue.Other:   " (another bundle is there now)",
}

func printHistory(w io.Writer, all []made) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "BUNDLE\tCREATED\tSIZE\tROOT\tBASED ON\tFOLDER")
	for _, m := range all {
		var bases []string
		for _, b := range m.Bases {
			bases = append(bases, b.Release+"-"+b.Version)
		}
		on := "-"
		if len(bases) > 0 {
			on = strings.Join(bases, ", ")
		}
		fmt.Fprintf(table, "%s-%s\t%s\t%s\t%s\t%s\t%s%s\n", m.Release, m.Version, m.Created, human.Bytes(m.Size), m.Root.Short(), on,
			onLine(m.Path), stateNotes[m.State])
	}
	return table.Flush()
}

// onLine makes a text printable and keeps it on its line of a table.
func onLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return '?'
		}
		return r
	}, cli.Printable(s))
}

// remember notes a bundle that was put into a folder. The bundle is made
// whether or not that can be noted.
func (c *creation) remember(env *cli.Env, r *create.Result) {
	if isTar(c.out) || commands.IsURL(c.out) {
		return
	}
	err := func() error {
		path, err := filepath.Abs(c.out)
		if err != nil {
			return err
		}
		all, err := history()
		if err != nil {
			return err
		}
		return all.Add(catalogue.Of(r.Manifest, r.Root, path))
	}()
	if err != nil {
		fmt.Fprintf(env.Stderr, "bundle: note: the bundle is made, but not listed in the history: %s\n", cli.Printable(err.Error()))
	}
}

// namedBases returns the places of the bundles that --base names, by path or
// as the history knows them, and those of the bundles that these are based on,
// as far as the history knows them. What lies there is for the caller to prove.
func namedBases(names []string) ([]string, error) {
	all, err := history()
	if err != nil {
		return names, nil
	}
	var paths []string
	for _, name := range names {
		path, err := placeOf(all, name)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	for i := 0; i < len(paths) && len(paths) <= manifest.MaxBases; i++ {
		for _, below := range basesBelow(all, paths[i]) {
			if !slices.Contains(paths, below) {
				paths = append(paths, below)
			}
		}
	}
	return paths, nil
}

// placeOf returns a name that is a path as it is, and what another one stands for.
func placeOf(all *catalogue.Catalogue, name string) (string, error) {
	_, err := os.Stat(name)
	if !errors.Is(err, fs.ErrNotExist) || strings.ContainsRune(name, filepath.Separator) {
		return name, nil // who opens it has the error
	}
	e, err := all.Find(name)
	if errors.Is(err, catalogue.ErrUnknown) {
		return "", cli.Hint(fmt.Errorf("base %q: there is neither such a folder or file here, nor a bundle in the history", name),
			"name the base's folder, or a bundle that is listed by: bundle history")
	}
	if err != nil {
		return "", cli.Hint(fmt.Errorf("base %w", err), "name the folder that it is in, or the first digits of its root, as they are listed by: bundle history")
	}
	return e.Path, nil
}

// basesBelow returns the folders of the bundles that the one in a folder says
// it is based on. What it cannot find is missing when the bundle is opened.
func basesBelow(all *catalogue.Catalogue, path string) []string {
	folder, err := transfer.OpenDir(path)
	if err != nil {
		return nil
	}
	said, err := manifest.Read(folder)
	if err != nil {
		return nil
	}
	var paths []string
	for _, b := range said.Manifest.Bases {
		if e, err := all.FindRoot(b.Root); err == nil {
			paths = append(paths, e.Path)
		}
	}
	return paths
}
