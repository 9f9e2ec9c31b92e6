package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh/agent"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
	"airlock/internal/trust"
)

// signing is the flags that say who signs with which key.
type signing struct{ key, agent, as string }

func (s *signing) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.key, "key", "", "`FILE` of the OpenSSH private key to sign with (default "+defaultKeyForHelp+")")
	cmd.Flags().StringVar(&s.agent, "agent-key", "", "sign with the `KEY` that ssh-agent holds: its fingerprint (SHA256:…), comment or .pub file")
	cmd.MarkFlagsMutuallyExclusive("key", "agent-key")
	addAs(cmd, &s.as)
}

// signature returns the signature to be made. A key that cannot be used is
// noticed here, before any work.
func (s *signing) signature(ctx context.Context, env *cli.Env) (create.Signature, error) {
	if s.as != "" { // before a passphrase is asked for
		if _, err := principal(s.as, ""); err != nil {
			return create.Signature{}, err
		}
	}
	key, err := s.load(ctx, env)
	if err != nil {
		return create.Signature{}, err
	}
	who, err := principal(s.as, key.Comment())
	return create.Signature{Principal: who, Signer: key}, err
}

func (s *signing) load(ctx context.Context, env *cli.Env) (*trust.Key, error) {
	if s.agent != "" {
		return agentKey(s.agent)
	}
	path, err := keyPath(s.key)
	if err != nil {
		return nil, err
	}
	key, err := trust.LoadKey(path, func(prompt string) ([]byte, error) { return commands.AskSecret(ctx, env, prompt) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Hint(fmt.Errorf("no signing key: %w", err), "make one with `bundle keygen`, or name yours: --key FILE or --agent-key KEY")
	}
	if errors.Is(err, commands.ErrNoPassphrase) {
		return nil, cli.Hint(err, "load the key into ssh-agent and sign through that: ssh-add %s; then, instead of --key, --agent-key %s.pub", cli.Quote(path), cli.Quote(path))
	}
	return key, err
}

func agentKey(selector string) (*trust.Key, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, cli.Hint(errors.New("no ssh-agent: SSH_AUTH_SOCK is not set"), "start one with: eval $(ssh-agent); ssh-add FILE")
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("reaching ssh-agent: %w", err)
	}
	return trust.AgentKey(agent.NewClient(conn), selector)
}

func newPassphrase(ctx context.Context, env *cli.Env) ([]byte, error) {
	first, err := commands.AskSecret(ctx, env, "Passphrase for the new key: ")
	if errors.Is(err, commands.ErrNoPassphrase) {
		return nil, cli.Hint(err, "run this on a terminal, or make the key with: ssh-keygen -t ed25519 -f FILE")
	}
	if err != nil {
		return nil, err
	}
	second, err := commands.AskSecret(ctx, env, "The same once more: ")
	if err != nil {
		return nil, err
	}
	if len(first) == 0 || !bytes.Equal(first, second) {
		return nil, errors.New("the passphrases are empty or differ")
	}
	return first, nil
}
