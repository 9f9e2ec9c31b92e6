package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"airlock/internal/cli"
)

// ErrNoTerminal says that there is nobody to ask.
var ErrNoTerminal = errors.New("standard input is not a terminal")

// maxLine is how much is taken as an answer.
const maxLine = 4096

// Ask asks for a line on the terminal. Where standard input is none, or has
// ended, it prints nothing and returns ErrNoTerminal. It ends with ctx.
func Ask(ctx context.Context, env *cli.Env, question string) (string, error) {
	in, ok := env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", ErrNoTerminal
	}
	fmt.Fprint(env.Stderr, question)
	type answer struct {
		line string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		line, err := readLine(in)
		answered <- answer{line, err}
	}()
	select {
	case a := <-answered:
		if errors.Is(a.err, io.EOF) {
			fmt.Fprintln(env.Stderr)
			return "", ErrNoTerminal
		}
		return strings.TrimSpace(a.line), a.err
	case <-ctx.Done():
		fmt.Fprintln(env.Stderr)
		return "", ctx.Err()
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
