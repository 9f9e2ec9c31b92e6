package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/manifest"
	"airlock/internal/trust"
)

func keygenCommand(env *cli.Env) *cobra.Command {
	var path, as string
	var encrypt, show bool
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a signing key for who has none",
		Long: `Makes an Ed25519 key in OpenSSH's format, to be used by bundle, ssh-keygen and
ssh-agent alike, and prints the line that makes the isolated side trust it. A
file that is there is never overwritten. With --show it makes nothing, and prints
that line again for a key that is there.`,
		Example: `  bundle keygen > ana.allowed_signers
  bundle keygen --key ~/keys/release --as ana --encrypt
  bundle keygen --show > ana.allowed_signers`,
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := keyPath(path)
			if err != nil {
				return err
			}
			if show {
				return showKey(cmd, env, path, as)
			}
			principal, err := principal(as, "")
			if err != nil {
				return err
			}
			return keygen(cmd, env, path, principal, encrypt)
		},
	}
	cmd.Flags().StringVar(&path, "key", "", "`FILE` to write the key to (default "+defaultKeyForHelp+")")
	addAs(cmd, &as)
	cmd.Flags().BoolVar(&show, "show", false, "make no key: print the line of the one that is there")
	cmd.Flags().BoolVar(&encrypt, "encrypt", false, "protect the key with a passphrase, which is asked for")
	cmd.MarkFlagsMutuallyExclusive("show", "encrypt")
	return cmd
}

// showKey prints the line that makes the isolated side trust a key that is there.
func showKey(cmd *cobra.Command, env *cli.Env, path, as string) error {
	public, err := trust.PublicKeyOf(path, func(prompt string) ([]byte, error) { return commands.AskSecret(cmd.Context(), env, prompt) })
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Hint(err, "make a key with `bundle keygen`, or name yours: --key FILE")
	}
	if err != nil {
		return err
	}
	principal, err := principal(as, trust.CommentBeside(path, public))
	if err != nil {
		return err
	}
	return printLine(cmd, env, principal, public)
}

func printLine(cmd *cobra.Command, env *cli.Env, principal string, public ssh.PublicKey) error {
	line, err := trust.AllowedSignersLine(principal, manifest.Namespace, public)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "bundle: this line, in the isolated side's allowed_signers, makes it trust the key %s:\n", ssh.FingerprintSHA256(public))
	_, err = fmt.Fprint(cmd.OutOrStdout(), line)
	return err
}

// keygen makes a key, and prints the line that makes the isolated side trust it.
func keygen(cmd *cobra.Command, env *cli.Env, path, principal string, encrypt bool) error {
	var passphrase []byte
	if encrypt {
		var err error
		if passphrase, err = newPassphrase(cmd.Context(), env); err != nil {
			return err
		}
	}
	private, public, err := trust.GenerateKey(principal, passphrase)
	if err != nil {
		return err
	}
	if err := writeKey(path, private, public); err != nil {
		return err
	}
	key, err := trust.LoadKey(path, func(string) ([]byte, error) { return passphrase, nil })
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "bundle: wrote the key to %s (keep it secret) and %s.pub\n", path, path)
	return printLine(cmd, env, principal, key.PublicKey())
}

func writeKey(path string, private, public []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	_, err := os.Lstat(path)
	if _, pubErr := os.Lstat(path + ".pub"); pubErr == nil && errors.Is(err, fs.ErrNotExist) {
		return cli.Hint(fmt.Errorf("%q: %w", path+".pub", fs.ErrExist), "name another file: --key FILE")
	}
	if err := writeNew(path, private, 0o600); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return cli.Hint(err, "this key can be used as it is, and bundle keygen --show --key %s prints its line again; for another one name another file: --key FILE", cli.Quote(path))
		}
		return err
	}
	return writeNew(path+".pub", public, 0o644)
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

const defaultKeyForHelp = "~/.config/airlock/key"

// keyPath returns the key file that is meant: the one named, or the default.
func keyPath(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".config", "airlock", "key"), err
}

func addAs(cmd *cobra.Command, as *string) {
	cmd.Flags().StringVar(as, "as", "", "`NAME` to sign as, as in the isolated side's allowed_signers (default: the one that the key was made for, or your login name)")
}

// principal returns the name to sign as: the one given, the one that a key was made
// for if its comment is one, or the login name.
func principal(as, comment string) (string, error) {
	if _, err := manifest.SignatureName(comment); as == "" && err == nil {
		return comment, nil
	}
	if as == "" {
		u, err := user.Current()
		if err != nil {
			return "", cli.Usagef("who signs? name yourself with --as NAME")
		}
		as = strings.ToLower(u.Username)
	}
	if _, err := manifest.SignatureName(as); err != nil {
		return "", cli.Usagef("%s; choose it with --as NAME", err)
	}
	return as, nil
}
