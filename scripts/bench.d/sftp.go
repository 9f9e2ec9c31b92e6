//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"airlock/internal/bulk"
)

// sftp measures sending a bundle to an SFTP server and fetching it from there
// against OpenSSH's client, nearby and with a long round trip.
func (b *bench) sftp(ctx context.Context) error {
	b.report.heading(2, "By SFTP")
	if err := b.key(ctx); err != nil {
		return err
	}
	out, err := b.bulkBundle(ctx)
	if err != nil {
		return err
	}
	server, err := b.sshd(ctx)
	if err != nil {
		return err
	}
	if err := b.bySFTP(ctx, server, out, 0.9); err != nil {
		return err
	}
	if err := server.moveAway(); err != nil {
		return err
	}
	server.line.Delay(20 * time.Millisecond)
	return b.bySFTP(ctx, server, out, 0.95)
}

// provenGet is get and, with stock tools, what unbundle receive does besides.
func provenGet(get command, dir string) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error {
		if err := m.run(ctx, get, command{args: []string{"sh", "-c", `exec sync "$1"/*`, "sh", dir}}); err != nil {
			return err
		}
		return m.run(ctx, command{args: []string{"sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"}, dir: dir})
	}
}

// bulkBundle makes a bundle of random bytes.
func (b *bench) bulkBundle(ctx context.Context) (string, error) {
	digest, err := bulk.Write(b.path("layout"), 1, int64(b.megabytes)*1e6, int64(b.megabytes)*1e6)
	if err != nil {
		return "", err
	}
	out, ref := b.path("out"), "oci:"+b.path("layout")+":"+bulk.Name+"@"+digest
	create := b.bundle("create", "-q", ref, "--key", b.path("key"), "--as", "bench", "-o", out, "--volume-size", "512MiB")
	return out, new(meter).run(ctx, create)
}

// bySFTP has Airlock and OpenSSH's client take a bundle both ways. Airlock's rate
// is to be at least that share of the other's.
func (b *bench) bySFTP(ctx context.Context, server *sshServer, out string, share float64) error {
	where := "nearby"
	if server.line != nil {
		where = "with a round trip of 40 ms"
	}
	sent, got := b.path("far"), b.path("near")
	clean := func(dir string) func(context.Context) error {
		remove := fresh(dir, filepath.Join(server.dir, ".local"))
		return func(ctx context.Context) error {
			if err := remove(ctx); err != nil {
				return err
			}
			return os.MkdirAll(dir, 0o700)
		}
	}
	ours := func(what func(...string) command, connections int, args ...string) func(context.Context, *meter) error {
		c := what(append(args, "--identity", server.identity(), "--connections", strconv.Itoa(connections))...)
		c.env = server.env()
		return commands(c)
	}
	up := []step{
		{name: "sftp put", prepare: clean(sent), made: sent, run: commands(server.sftp("put", out+"/*", sent))},
		{name: "sftp put -f", prepare: clean(sent), made: sent, run: commands(server.sftp("put -f", out+"/*", sent))},
	}
	get := server.sftp("get", out+"/*", got)
	down := []step{
		{name: "sftp get", prepare: clean(got), made: got, run: commands(get)},
		{name: "sftp get, sync, sha256sum -c", prepare: clean(got), made: got, run: provenGet(get, got)},
	}
	for _, n := range []int{1, 2, 4} {
		up = append(up, step{name: "bundle send, " + plural(n, "connection"), prepare: clean(sent), made: sent,
			run: ours(b.bundle, n, "send", "-q", out, server.url(sent))})
		down = append(down, step{name: "unbundle receive, " + plural(n, "connection"), prepare: clean(got), made: got,
			run: ours(b.unbundle, n, "receive", "-q", server.url(out), got, "--trust", b.path("allowed_signers"))})
	}
	for _, c := range []contest{
		{title: "Send, " + where, steps: up, note: "bundle send has the server make durable what it wrote, as put -f does, and keeps a journal of it."},
		{title: "Fetch, " + where, steps: down, note: "unbundle receive proves each block before it writes it, and makes it durable."},
	} {
		c.reference, c.rounds = c.steps[0].name, b.rounds
		r, err := b.hold(ctx, c)
		if err != nil {
			return err
		}
		b.report.result(r)
		for _, s := range c.steps[len(c.steps)-2:] {
			b.report.bars(bar{fmt.Sprintf("%s's time, × %s", s.name, c.reference), r.ratio(s.name, c.reference, wall), 1 / share, ""})
		}
	}
	return nil
}
