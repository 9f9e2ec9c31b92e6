package diff

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"airlock/internal/cli"
	"airlock/internal/human"
)

// printer writes lines to w and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

// line writes one line, whatever control characters names have.
func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "?")
		_, p.err = fmt.Fprintln(p.w, cli.Printable(text))
	}
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	p := &printer{w: w}
	for _, b := range []struct {
		word string
		Bundle
	}{{"From", r.From}, {"To", r.To}} {
		p.line("%-9s %s %s, %s, root %s", b.word, b.Release, b.Version, human.Bytes(b.Bytes), b.Root)
	}
	counts := map[State]int{}
	for _, image := range r.Images {
		counts[image.State]++
	}
	p.line("%-9s %d changed, %d added, %d removed, %d the same", "Images", counts[Changed], counts[Added], counts[Removed], counts[Same])
	p.line("%-9s %s%s; what is new, whole: %s in %s", "Delta", r.Delta.about(), human.Bytes(r.Delta.Bytes), human.Bytes(r.Delta.NewBytes), cli.Count(r.Delta.NewBlobs, "blob"))
	for i := range r.Images {
		r.printImage(p, &r.Images[i])
	}
	return p.err
}

func (d *Delta) about() string {
	if d.Exact {
		return ""
	}
	return "about "
}

func (r *Report) printImage(p *printer, image *Image) {
	title := image.Name
	if image.Platform != "" {
		title += " (" + image.Platform + ")"
	}
	p.line("")
	p.line("%-9s %s", image.State, title)
	switch {
	case image.State == Same && slices.Equal(image.From.Names, image.To.Names):
		return
	case image.State == Same:
		p.line("          now %s, was %s", strings.Join(image.To.Names, ", "), strings.Join(image.From.Names, ", "))
		return
	}
	for _, v := range []struct {
		word string
		*Version
	}{{"from", image.From}, {"to", image.To}} {
		if v.Version != nil {
			p.line("  %-7s %s  %s", v.word, v.Digest, strings.Join(v.Names, ", "))
		}
	}
	if image.ConfigChanged {
		p.line("  config  changed")
	}
	number := 0
	for i := range image.Layers {
		l := &image.Layers[i]
		place := "-"
		if l.To != nil {
			number++
			place = fmt.Sprint(number)
		}
		r.printLayer(p, place, l)
	}
}

func (r *Report) printLayer(p *printer, place string, l *Layer) {
	switch l.State {
	case Removed:
		p.line("  layer %s removed  %s  %s", place, l.From.Digest, human.Bytes(l.From.Size))
	case Added:
		p.line("  layer %s added    %s  %s, %s%s in a delta", place, l.To.Digest, human.Bytes(l.To.Size), r.Delta.about(), human.Bytes(l.Delta))
	case Same:
		note := ""
		if l.From.Digest != l.To.Digest {
			note = fmt.Sprintf(", compressed otherwise; %s%s in a delta", r.Delta.about(), human.Bytes(l.Delta))
		}
		p.line("  layer %s same     %s  %s%s", place, l.To.Digest, human.Bytes(l.To.Size), note)
	case Changed:
		p.line("  layer %s changed  %s  %s, was %s, %s%s in a delta", place, l.To.Digest, human.Bytes(l.To.Size), human.Bytes(l.From.Size),
			r.Delta.about(), human.Bytes(l.Delta))
		l.Files.print(p)
	}
}

func (f *Files) print(p *printer) {
	if f.Note != "" {
		p.line("    %s", f.Note)
		return
	}
	times := ""
	if f.TimesOnly > 0 {
		times = fmt.Sprintf("; %d more differ in their times alone", f.TimesOnly)
	}
	p.line("    %d added, %d changed, %d removed%s", f.Added, f.Changed, f.Removed, times)
	for i := range f.List {
		c := &f.List[i]
		p.line("    %-8s %s%s", c.State, c.Path, c.detail())
	}
	for _, d := range f.Directories {
		if d.Path == "" {
			d.Path = "elsewhere"
		}
		p.line("    %-30s %d added, %d changed, %d removed, %s", d.Path, d.Added, d.Changed, d.Removed, human.Bytes(d.Bytes))
	}
}

// detail tells of a change what is behind its path.
func (c *Change) detail() string {
	var all []string
	switch {
	case c.Whiteout && c.State == Removed:
		all = append(all, "by a whiteout")
	case c.Whiteout:
		all = append(all, "its whiteout is gone")
	case strings.HasSuffix(c.Path, "/"):
	case c.State == Changed && c.Size != c.Was:
		all = append(all, fmt.Sprintf("%s, was %s", human.Bytes(c.Size), human.Bytes(c.Was)))
	case c.State == Removed:
		all = append(all, human.Bytes(c.Was))
	default:
		all = append(all, human.Bytes(c.Size))
	}
	if c.Note != "" {
		all = append(all, c.Note)
	}
	if len(all) == 0 {
		return ""
	}
	return "  (" + strings.Join(all, "; ") + ")"
}
