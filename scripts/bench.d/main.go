//go:build linux

// Command bench.d measures Airlock side by side with other tools that do its
// job. scripts/bench builds and starts it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		stop()
		os.Exit(1)
	}
}

// A bench is what all measurements share.
type bench struct {
	dir     string // temporary, its own
	cache   string // kept between runs
	scripts string // scripts/bench.d
	tools   string // what scripts/install-test-tools built
	bin     string // Airlock's commands
	rounds  int
	links   rates // of link
	media   rates // held to
	megabytes,
	bigMegabytes int
	report report

	begun time.Time
	ends  []func() error
}

const usageText = `Usage: scripts/bench [flags] [spine|small|link|medium|sftp|all]

Measures Airlock side by side with crane, skopeo, docker save and load, zstd and
sha256sum, each against real registries and Docker Engines on this machine, and
prints tables in Markdown. "spine" (the default) moves a release of about one
gigabyte; "small" packs releases and their updates; "link" has a release cross
slow links, packed in each way; "medium" writes a bundle to a folder and reads it
from there, and the same with media that are held to a rate; "sftp" does so with a
server.

`

func run(ctx context.Context, args []string) (err error) {
	b := &bench{begun: time.Now(), links: rates{5e6, 30e6, 100e6},
		media: rates{30e6, 100e6, 400e6}} // a slow stick, a fast one, a disk on USB 3
	var out string
	var keep bool
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usageText); flags.PrintDefaults() }
	flags.IntVar(&b.rounds, "rounds", 3, "how often each step is taken; medians are printed")
	flags.IntVar(&b.megabytes, "mb", 500, "spine: megabytes of files an image gets, uncompressed; medium, sftp: megabytes of a layer, of two")
	flags.IntVar(&b.bigMegabytes, "big", 4200, "spine: megabytes of the set for memory; 0 for none")
	flags.Var(&b.links, "links", "link: MB/s of the links, such as 5,30")
	flags.Var(&b.media, "held", "medium: MB/s that media are held to")
	flags.StringVar(&out, "o", "", "also write the report to this `file`")
	flags.StringVar(&b.bin, "bin", "bin", "`folder` of bundle and unbundle")
	flags.StringVar(&b.tools, "tools", "", "`folder` of crane and today's engine")
	flags.StringVar(&b.scripts, "scripts", "scripts/bench.d", "`folder` of the scripts that make images")
	flags.BoolVar(&keep, "keep", false, "keep the working folder")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := b.findFolders(); err != nil {
		return err
	}
	if !keep {
		b.atEnd(func() error { return removeWithMounts(b.dir) })
	}
	defer func() { err = errors.Join(err, b.end()) }()
	if err := b.copyCommands(); err != nil {
		return err
	}
	b.report.w = os.Stdout
	if out != "" {
		f, err := os.Create(out)
		if err != nil {
			return err
		}
		b.atEnd(f.Close)
		b.report.w = io.MultiWriter(os.Stdout, f)
	}
	b.machine()
	switch what := flags.Arg(0); {
	case flags.NArg() > 1:
		return fmt.Errorf("arguments %q: want one of spine, small, link, medium, sftp, all", flags.Args())
	case what == "spine" || what == "":
		return b.spine(ctx)
	case what == "small":
		return b.small(ctx)
	case what == "link":
		return b.link(ctx)
	case what == "medium":
		return b.medium(ctx)
	case what == "sftp":
		return b.sftp(ctx)
	case what == "all":
		return errors.Join(b.spine(ctx), b.small(ctx), b.link(ctx), b.medium(ctx), b.sftp(ctx))
	default:
		return fmt.Errorf("argument %q: want one of spine, small, link, medium, sftp, all", what)
	}
}

// findFolders makes the working folder and turns all names into absolute ones.
func (b *bench) findFolders() (err error) {
	if b.dir = os.Getenv("AIRLOCK_BENCH_DIR"); b.dir != "" {
		// What others have there is left alone.
		if err := os.MkdirAll(b.dir, 0o700); err != nil {
			return err
		}
	} else {
		b.dir = "/var/tmp"
	}
	if b.dir, err = os.MkdirTemp(b.dir, "al-bench-"); err != nil {
		return err
	}
	if b.dir, err = filepath.EvalSymlinks(b.dir); err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	if b.cache = os.Getenv("AIRLOCK_BENCH_CACHE"); b.cache == "" {
		b.cache = filepath.Join(home, ".cache", "airlock-bench")
	}
	if b.tools == "" {
		if b.tools = os.Getenv("AIRLOCK_TOOLS"); b.tools == "" {
			b.tools = filepath.Join(home, ".cache", "airlock-tools")
		}
		b.tools = filepath.Join(b.tools, "bin")
	}
	for _, name := range []*string{&b.dir, &b.cache, &b.tools, &b.bin, &b.scripts} {
		if *name, err = filepath.Abs(*name); err != nil {
			return err
		}
	}
	return os.MkdirAll(b.cache, 0o755)
}

// copyCommands takes Airlock's commands as they are now, lest a build changes
// them while they are measured.
func (b *bench) copyCommands() error {
	for _, name := range []string{"bundle", "unbundle"} {
		body, err := os.ReadFile(filepath.Join(b.bin, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.path(name), body, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) path(name ...string) string {
	return filepath.Join(append([]string{b.dir}, name...)...)
}

// tool returns a program that scripts/install-test-tools built.
func (b *bench) tool(name string) string { return filepath.Join(b.tools, name) }

// bundle and unbundle return one of Airlock's commands.
func (b *bench) bundle(args ...string) command {
	return command{args: append([]string{b.path("bundle")}, args...)}
}

func (b *bench) unbundle(args ...string) command {
	return command{args: append([]string{b.path("unbundle")}, args...)}
}

// atEnd has f called at the end, after what was added later.
func (b *bench) atEnd(f func() error) { b.ends = append(b.ends, f) }

func (b *bench) end() error {
	var errs []error
	for i := len(b.ends) - 1; i >= 0; i-- {
		errs = append(errs, b.ends[i]())
	}
	b.ends = nil
	return errors.Join(errs...)
}

// say tells the person what is going on.
func (b *bench) say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "bench: %6s  %s\n", time.Since(b.begun).Round(time.Second), fmt.Sprintf(format, values...))
}

func (b *bench) machine() {
	var memory int64
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		fmt.Sscanf(string(text), "MemTotal: %d kB", &memory)
	}
	b.report.text("Measured on %s, %s of %s, %d GiB of memory, %s; loopback; load average %.1f at the beginning.",
		b.begun.UTC().Format("2006-01-02 15:04 MST"), plural(runtime.NumCPU(), "core"),
		strings.TrimSpace(processorName()), memory>>20, runtime.GOOS+"/"+runtime.GOARCH, loadAverage())
}
