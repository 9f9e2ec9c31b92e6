package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"airlock/internal/cli"
	"airlock/internal/transfer"
)

// SFTP is the flags about how SFTP servers are reached.
type SFTP struct {
	options transfer.Options
	rate    string
}

// Add adds the flags to a command.
func (s *SFTP) Add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.options.Fingerprint, "host-key", "", "`FINGERPRINT` (SHA256:…) of an SFTP server's key, for a first contact")
	f.StringSliceVar(&s.options.IdentityFiles, "identity", nil, "private key `FILE` to log in with, before those of ~/.ssh/config")
	f.IntVar(&s.options.Connections, "connections", 0, "connections to an SFTP server, 1 to 4 (default 2)")
	f.StringVar(&s.rate, "limit-rate", "", "`RATE` at most, such as 5MB/s, over all connections")
}

// IsURL reports whether a place is on an SFTP server.
func IsURL(place string) bool { return strings.HasPrefix(place, "sftp://") }

// Dial connects to the server of an sftp:// URL.
func (s *SFTP) Dial(ctx context.Context, env *cli.Env, place string) (*transfer.Server, error) {
	u, err := transfer.ParseURL(place)
	if err != nil {
		return nil, cli.Usagef("%s", err)
	}
	o := s.options
	if s.rate != "" {
		if o.RateLimit, err = cli.ParseRate(s.rate); err != nil {
			return nil, err
		}
	}
	o.Passphrase = func(file string) ([]byte, error) {
		return AskSecret(ctx, env, fmt.Sprintf("Passphrase of %s: ", file))
	}
	server, err := transfer.Dial(ctx, u, o)
	if errors.Is(err, ErrNoPassphrase) {
		err = cli.Hint(err, "load the key into ssh-agent, which is asked first: ssh-add FILE")
	}
	return server, err
}

// ErrNoPassphrase is wrapped where a passphrase is needed and nobody can be asked.
var ErrNoPassphrase = errors.New("it takes a passphrase, and there is no terminal to ask for it")

// AskSecret asks for a passphrase on the terminal, without echo. When ctx ends
// it gives the terminal its echo back and returns.
func AskSecret(ctx context.Context, env *cli.Env, prompt string) ([]byte, error) {
	in, ok := env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, ErrNoPassphrase
	}
	fmt.Fprint(env.Stderr, prompt)
	defer fmt.Fprintln(env.Stderr)
	before, err := term.GetState(int(in.Fd()))
	if err != nil {
		return nil, err
	}
	type answer struct {
		secret []byte
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		secret, err := term.ReadPassword(int(in.Fd()))
		answered <- answer{secret, err}
	}()
	select {
	case a := <-answered:
		return a.secret, a.err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), term.Restore(int(in.Fd()), before))
	}
}
