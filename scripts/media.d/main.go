//go:build linux

// Command media.d tests bundle and unbundle on real FAT32 and exFAT, and on
// media that fail in the ways in which sticks do: it starts small machines
// (User-Mode Linux, QEMU) in which it is itself the first process.
// scripts/test-media builds and starts it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if os.Getpid() == 1 {
		runGuest()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "test-media: error:", err)
		os.Exit(1)
	}
}

// host is this side: what the machines are made of and what they said.
type host struct {
	dir    string // temporary
	bin    string // Airlock's commands
	cache  string // kept between runs
	uml    string // kernel of User-Mode Linux
	points int
	seed   int64
	limit  time.Duration // of each machine
	brief  bool
	large  bool
	fs     string // file systems to test
	only   string // part of the names of the scenarios to run
	show   bool
	keep   string // folder for the disks of the first point of a power cut that fails

	initrd  map[string]string // file of each kind of machine's modules and programs
	kept    bool              // the disks hold what keep asks for
	rows    [][]string
	missing []string
}

func run(ctx context.Context, args []string) (err error) {
	h := &host{initrd: map[string]string{}}
	var only string
	flags := flag.NewFlagSet("test-media", flag.ContinueOnError)
	flags.IntVar(&h.points, "points", 15, "how often the power is cut in each of four scenarios")
	flags.Int64Var(&h.seed, "seed", time.Now().Unix(), "of the points")
	flags.DurationVar(&h.limit, "limit", 25*time.Minute, "`time` after which a machine is given up")
	flags.StringVar(&h.bin, "bin", "bin", "`folder` of bundle and unbundle")
	flags.StringVar(&only, "machines", "uml,qemu", "`kinds` to start")
	flags.StringVar(&h.uml, "uml", "", "`kernel` of User-Mode Linux (default ~/.cache/airlock-media/linux.uml)")
	flags.Bool("build-uml", false, "first build that kernel from Debian's source package, if it is not there; takes three minutes on two processors")
	flags.BoolVar(&h.brief, "brief", false, "leave out scenarios that others nearly cover")
	flags.BoolVar(&h.large, "large", false, "in User-Mode Linux, also send a bundle of more than 4 GiB to FAT32; takes 15 GB of room here")
	flags.StringVar(&h.fs, "fs", "vfat,exfat", "`file systems` to test")
	flags.StringVar(&h.only, "run", "", "run scenarios with this `text` in their names only")
	flags.StringVar(&h.keep, "keep", "", "end at the first power cut that fails, and copy the disk to this `folder`: as the cut left it (cut.img), and as it is after the last command (end.img)")
	flags.BoolVar(&h.show, "v", false, "show what the machines print")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if h.dir, err = os.MkdirTemp("", "airlock-media-"); err != nil {
		return err
	}
	defer os.RemoveAll(h.dir)
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	h.cache = home + "/.cache/airlock-media"
	if h.uml == "" {
		h.uml = filepath.Join(h.cache, "linux.uml")
	}
	if err := h.prepare(ctx); err != nil {
		return err
	}
	fmt.Printf("test-media: seed %d, %d points\n", h.seed, h.points)
	for _, m := range machines {
		m.fs = slices.DeleteFunc(m.fs, func(fs string) bool { return !strings.Contains(h.fs, fs) })
		if strings.Contains(only, m.name) && len(m.fs) > 0 {
			h.start(ctx, m)
		}
	}
	return h.finish()
}

// start runs one machine, or says loudly why it cannot.
func (h *host) start(ctx context.Context, m machine) {
	begun := time.Now()
	err := h.run(ctx, m)
	lost := missingError("")
	switch {
	case errors.As(err, &lost):
		h.missing = append(h.missing, fmt.Sprintf("%s (%s): %s", m.name, strings.Join(m.fs, ", "), lost))
	case err != nil:
		h.rows = append(h.rows, []string{m.name, "", "the machine itself", "FAIL", err.Error()})
	default:
		fmt.Printf("test-media: %s took %s\n", m.name, time.Since(begun).Round(time.Second))
	}
}

// missingError says what a machine cannot be made of here.
type missingError string

func (e missingError) Error() string { return string(e) }

// finish prints the table.
func (h *host) finish() error {
	width := make([]int, 4)
	rows := append([][]string{{"machine", "on", "scenario", "result", ""}}, h.rows...)
	for _, row := range rows {
		for i := range width {
			width[i] = max(width[i], len(row[i]))
		}
	}
	fmt.Println()
	failed := 0
	for _, row := range rows {
		fmt.Printf("%-*s  %-*s  %-*s  %-*s  %s\n", width[0], row[0], width[1], row[1], width[2], row[2], width[3], row[3], row[4])
		if row[3] == "FAIL" {
			failed++
		}
	}
	fmt.Println()
	for _, what := range h.missing {
		fmt.Printf("!! NOT TESTED: %s\n", what)
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d scenarios failed (again with: -seed %d)", failed, h.seed)
	case len(h.missing) > 0 && os.Getenv("AIRLOCK_REQUIRE") == "all":
		return errors.New("some machines could not run, and AIRLOCK_REQUIRE=all")
	case len(h.rows) == 0 && len(h.missing) == 0:
		return errors.New("nothing was tested")
	}
	return nil
}
