package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"airlock/internal/human"
	"airlock/internal/progress"
)

// Progress returns a sink that draws bars on a terminal and prints plain lines
// elsewhere, and a function that ends it. Quiet shows nothing.
func Progress(w io.Writer, quiet bool) (progress.Sink, func()) {
	if quiet {
		return progress.Discard, func() {}
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p := mpb.New(mpb.WithOutput(w), mpb.WithRefreshRate(150*time.Millisecond), mpb.WithWidth(64))
		return &bars{p}, p.Shutdown
	}
	return &lines{w: w}, func() {}
}

// bars draws one bar a task; ended tasks go.
type bars struct{ p *mpb.Progress }

func (b *bars) Start(name string, total int64) progress.Task {
	bar := b.p.AddBar(max(total, 0),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(Printable(name), decor.WC{C: decor.DindentRight | decor.DextraSpace})),
		mpb.AppendDecorators(
			decor.Counters(decor.SizeB1000(0), "% .1f of % .1f", decor.WCSyncSpace),
			decor.AverageSpeed(decor.SizeB1000(0), "% .0f", decor.WCSyncSpace),
			decor.AverageETA(decor.ET_STYLE_MMSS, decor.WCSyncSpace),
		))
	return &barTask{bar}
}

type barTask struct{ bar *mpb.Bar }

func (t *barTask) Add(n int64) { t.bar.IncrInt64(n) }

func (t *barTask) Done() {
	if !t.bar.Completed() {
		t.bar.Abort(true)
	}
}

// lineEvery is how often a task that runs prints a line.
const lineEvery = 5 * time.Second

// lines prints a line for a task every few seconds, and none for a task that
// ends before that.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Start(name string, total int64) progress.Task {
	now := time.Now()
	return &lineTask{lines: l, name: Printable(name), total: total, begun: now, printed: now}
}

type lineTask struct {
	lines          *lines
	name           string
	total, done    int64
	begun, printed time.Time
}

func (t *lineTask) Add(n int64) {
	t.lines.mu.Lock()
	defer t.lines.mu.Unlock()
	t.done += n
	if now := time.Now(); now.Sub(t.printed) >= lineEvery {
		t.printed = now
		fmt.Fprintln(t.lines.w, t.line(now.Sub(t.begun)))
	}
}

func (t *lineTask) Done() {}

func (t *lineTask) line(elapsed time.Duration) string {
	rate := float64(t.done) / elapsed.Seconds()
	s := fmt.Sprintf("%s: %s", t.name, human.Bytes(t.done))
	if t.total > 0 {
		s += fmt.Sprintf(" of %s (%d %%)", human.Bytes(t.total), t.done*100/t.total)
	}
	s += fmt.Sprintf(", %s/s", human.Bytes(int64(rate)))
	if left := t.total - t.done; left > 0 && rate > 0 {
		s += fmt.Sprintf(", %s left", (time.Duration(float64(left)/rate) * time.Second).Round(time.Second))
	}
	return s
}
