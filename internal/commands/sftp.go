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
	f.IntVar(&s.options.Connections, "connections", 0, "`N` connections to an SFTP server, 1 to 4 (default 2)")
	f.StringVar(&s.rate, "limit-rate", "", "`RATE` at most, such as 5MB/s, over all connections")
}

// IsURL reports whether a place is on an SFTP server.
func IsURL(place string) bool { return strings.HasPrefix(place, "sftp://") }

// Needed refuses flags about servers where no place is on one: nobody should
// believe that they hold for a stick or a pipe.
func (s *SFTP) Needed(cmd *cobra.Command, places ...string) error {
	for _, place := range places {
		if IsURL(place) {
			return nil
		}
	}
	for _, name := range []string{"host-key", "identity", "connections", "limit-rate"} {
		if cmd.Flags().Changed(name) {
			return cli.Usagef("--%s is for SFTP servers, and none is named (sftp://…)", name)
		}
	}
	return nil
}

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
	return server, loginHint(err)
}

// loginHint says what to do about a server that could not be logged in to.
func loginHint(err error) error {
	key := (*transfer.HostKeyError)(nil)
	switch {
	case errors.Is(err, ErrNoPassphrase):
		return cli.Hint(err, "load the key into ssh-agent, which is asked first: ssh-add FILE")
	case errors.Is(err, transfer.ErrNoKey), errors.Is(err, transfer.ErrNoneOf):
		return cli.Hint(err, "name the user (sftp://USER@HOST/…) and the key (--identity FILE) that the server knows, or load it into ssh-agent: ssh-add FILE")
	case !errors.As(err, &key):
		return err
	case key.Revoked:
		return cli.Hint(err, "that key must not be used any more: ask whoever runs the server")
	case len(key.Known) > 0:
		return cli.Hint(err, "either the server has a new key, or somebody stands between: ask whoever runs it for the fingerprint of its key (there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) before you change known_hosts")
	}
	return cli.Hint(err, "ask whoever runs the server for the fingerprint of its key (there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), not the server itself, and add --host-key SHA256:…; or an entry to known_hosts")
}

// ErrNoPassphrase is wrapped where a passphrase is needed and nobody can be asked.
var ErrNoPassphrase = errors.New("it takes a passphrase, and there is no terminal to ask for it")

// AskSecret asks for a passphrase on the terminal, without echo, or a program
// that SSH_ASKPASS names. When ctx ends it gives the terminal its echo back and
// returns.
func AskSecret(ctx context.Context, env *cli.Env, prompt string) ([]byte, error) {
	in, ok := env.Stdin.(*os.File)
	ok = ok && term.IsTerminal(int(in.Fd()))
	if program := askpass(ok); program != "" {
		return askProgram(ctx, env, program, prompt)
	}
	if !ok {
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
