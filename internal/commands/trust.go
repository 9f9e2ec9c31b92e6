// Package commands holds what both programs offer on the command line: flags
// about trust and registries, and the commands verify, inspect and list.
package commands

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"airlock/internal/archive"
	"airlock/internal/cli"
	"airlock/internal/dockertar"
	"airlock/internal/layout"
	"airlock/internal/load"
	"airlock/internal/manifest"
	"airlock/internal/media"
	"airlock/internal/oci"
	"airlock/internal/registry"
	"airlock/internal/tarfs"
	"airlock/internal/trust"
	"airlock/internal/volume"
)

// Classes returns which errors belong to which exit code: those of the packages
// that both programs link, and others that mean a rejection.
func Classes(rejected ...error) cli.Classes {
	all := []error{
		manifest.ErrRejected, trust.ErrRejected, volume.ErrDamaged, volume.ErrRequest, archive.ErrMalformed, archive.ErrMismatch,
		load.ErrRejected, load.ErrMoves, oci.ErrMalformed, tarfs.ErrMalformed,
		registry.ErrRejected, layout.ErrRejected, dockertar.ErrRejected,
	}
	return cli.Classes{Rejected: append(all, rejected...), Incomplete: []error{manifest.ErrIncomplete}}
}

// DefaultTrust is the list of trusted keys that is read without --trust. It is
// one fixed place, so that no environment variable can name another.
const DefaultTrust = "/etc/airlock/allowed_signers"

const maxTrust = 1 << 20 // bytes of an allowed_signers file

// Trust is the flag --trust.
type Trust struct{ path string }

// Add adds the flag to a command.
func (t *Trust) Add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.path, "trust", "", "OpenSSH allowed_signers `FILE` of the keys to trust (default "+DefaultTrust+")")
}

// AddFor adds the flag to a command that reads the list only for another flag.
func (t *Trust) AddFor(cmd *cobra.Command, flag string) {
	t.Add(cmd)
	cmd.Flags().Lookup("trust").Usage += ", for --" + flag
}

// Given reports whether the flag was used or the default file exists.
func (t *Trust) Given() bool {
	if t.path != "" {
		return true
	}
	_, err := os.Stat(DefaultTrust)
	return err == nil
}

// Read reads the allowed signers.
func (t *Trust) Read() (*trust.AllowedSigners, error) {
	path := t.path
	if path == "" {
		path = DefaultTrust
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Hint(fmt.Errorf("no list of trusted keys: %w", err),
			"ask each signer for the line that `bundle keygen` printed, write the lines to a file, and name it: --trust FILE")
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxTrust {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are allowed", path, info.Size(), maxTrust)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	allowed, err := trust.ParseAllowedSigners(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return allowed, nil
}

// Registry is the flags about how registries are reached.
type Registry struct{ options registry.Options }

// Add adds the flags to a command.
func (r *Registry) Add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&r.options.CAFiles, "registry-ca", nil, "PEM `FILE` of a certificate authority to trust for registries")
	f.StringVar(&r.options.CertFile, "registry-cert", "", "PEM `FILE` of a client certificate for registries")
	f.StringVar(&r.options.KeyFile, "registry-key", "", "PEM `FILE` of the client certificate's key")
	f.StringSliceVar(&r.options.PlainHTTP, "plain-http", nil, "`HOST[:PORT]` of a registry that speaks plain HTTP (loopback needs no mention)")
}

// AddUploads adds the flag about uploads, for a command that does them.
func (r *Registry) AddUploads(cmd *cobra.Command) {
	cmd.Flags().IntVar(&r.options.Parallel, "parallel", 0, "`N` uploads to a registry side by side (default 4)")
}

// Client returns a client with the flags' settings, which tells on standard
// error what it waits for, unless it is to be quiet.
func (r *Registry) Client(cmd *cobra.Command, quiet bool) (*registry.Client, error) {
	o := r.options
	if !quiet {
		o.Waiting = teller(cmd.ErrOrStderr(), cmd.Root().Name())
	}
	return registry.New(o)
}

// teller returns what tells of waiting: of all that wait for the same try of
// the same host, once.
func teller(w io.Writer, program string) func(registry.Wait) {
	var mu sync.Mutex
	last := map[string]int{}
	return func(wait registry.Wait) {
		mu.Lock()
		defer mu.Unlock()
		if last[wait.Host] == wait.Try {
			return
		}
		last[wait.Host] = wait.Try
		fmt.Fprintf(w, "%s: waiting for %s (%s), try %d of %d\n", program, cmp.Or(wait.Host, "the registry"), wait.Reason, wait.Try, wait.Of)
	}
}

// DockerHint adds to the error of a Docker Engine that cannot be reached what
// can be done, with the flag that both programs have.
func DockerHint(err error) error {
	return cli.Hint(err, "start the engine, or name the one that is meant: --docker-host unix:///run/user/1000/docker.sock or tcp://HOST:PORT")
}

// Output is the flags --json and --quiet.
type Output struct {
	JSON  bool
	Quiet bool
}

// Add adds the flags to a command.
func (o *Output) Add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print the result as JSON")
	cmd.Flags().BoolVarP(&o.Quiet, "quiet", "q", false, "show no progress")
}

// PrintJSON prints v as JSON on standard output.
func PrintJSON(cmd *cobra.Command, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(cmd.OutOrStdout(), escaped(b.String()))
	return err
}

// escaped returns JSON in which all that cli.Printable would replace is escaped,
// for people who look at it on a terminal.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, "\\u%04x", unit)
		}
	}
	return b.String()
}

// OpenBundle opens the bundle that an argument names: a folder, a tar file or,
// as "-", standard input, which is spooled in the folder spool, or in this one.
func OpenBundle(cmd *cobra.Command, path, spool string) (media.FS, error) {
	var files media.FS
	var err error
	if path == "-" {
		files, err = receive(cmd.Context(), cmd.InOrStdin(), cmp.Or(spool, "."))
	} else {
		files, err = media.Open(path)
	}
	if errors.Is(err, media.ErrNoBundle) {
		err = cli.Hint(err, "a bundle is the folder or the tar file that `bundle create` has written, or - for such a tar file on standard input")
	}
	return files, err
}

func openAny(cmd *cobra.Command, env *cli.Env, sftp *SFTP, path, spool string) (media.FS, error) {
	if !IsURL(path) {
		return OpenBundle(cmd, path, spool)
	}
	server, err := sftp.Dial(cmd.Context(), env, path)
	if err != nil {
		return nil, err
	}
	// copy.tar has the other small files once more: it is read if they are damaged.
	files, err := server.Snapshot(cmd.Context(), func(name string) bool { return name == manifest.CopyName })
	if err != nil { // what is wrong with the folder is told by who reads it
		return media.Of(server.Files(), server), nil
	}
	return media.Of(files, server), nil
}

// receive is media.Receive that ends with ctx: a read of a pipe cannot be
// broken off, so it is left behind.
func receive(ctx context.Context, stream io.Reader, spool string) (media.FS, error) {
	type received struct {
		files media.FS
		err   error
	}
	done := make(chan received, 1)
	go func() {
		files, err := media.Receive(stream, spool)
		done <- received{files, err}
	}()
	select {
	case r := <-done:
		if errors.Is(r.err, io.ErrUnexpectedEOF) {
			r.err = fmt.Errorf("%w: the stream ended early: %w", manifest.ErrIncomplete, r.err)
		}
		return r.files, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
