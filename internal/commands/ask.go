package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"airlock/internal/cli"
)

// ErrNoTerminal says that there is nobody to ask.
var ErrNoTerminal = errors.New("standard input is not a terminal")

// maxLine is how much is taken as an answer.
const maxLine = 4096

// pollEvery is how often it is looked whether a question has answered itself.
const pollEvery = time.Second

// Asker asks for lines on the terminal. It serves one goroutine.
type Asker struct {
	env     *cli.Env
	every   time.Duration
	pending chan answer // of a line that is being read; nil: none is
}

type answer struct {
	line string
	err  error
}

// NewAsker returns an Asker.
func NewAsker(env *cli.Env) *Asker { return &Asker{env: env, every: pollEvery} }

// Ask asks for a line. Where standard input is no terminal, or has ended, it
// prints nothing and returns ErrNoTerminal. It ends with ctx; and with an empty
// line as soon as settled, which may be nil, returns true: that is asked again
// and again while nobody answers.
func (a *Asker) Ask(ctx context.Context, question string, settled func() bool) (string, error) {
	in, ok := a.env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", ErrNoTerminal
	}
	fmt.Fprint(a.env.Stderr, question)
	if a.pending == nil {
		a.pending = make(chan answer, 1)
		go func(to chan<- answer) {
			line, err := readLine(in)
			to <- answer{line, err}
		}(a.pending)
	}
	var tick <-chan time.Time
	if settled != nil {
		ticker := time.NewTicker(a.every)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case got := <-a.pending:
			a.pending = nil
			if errors.Is(got.err, io.EOF) {
				fmt.Fprintln(a.env.Stderr)
				return "", ErrNoTerminal
			}
			return strings.TrimSpace(got.line), got.err
		case <-tick:
			if settled() {
				fmt.Fprintln(a.env.Stderr)
				return "", nil
			}
		case <-ctx.Done():
			fmt.Fprintln(a.env.Stderr)
			return "", ctx.Err()
		}
	}
}

// readLine reads a line byte by byte, so that the next one is left alone.
func readLine(in io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < maxLine {
		n, err := in.Read(b[:])
		if n == 1 && b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[:n]...)
		if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("a line of more than %d bytes", maxLine)
}
