//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
)

// A registry is Debian's docker-registry.
type registry struct {
	*program
	addr string // "127.0.0.1:PORT"
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// startRegistry starts a registry that keeps its blobs in storage and its
// configuration in dir.
func startRegistry(ctx context.Context, dir, storage string) (*registry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "registry.yml")
	err := os.WriteFile(config, fmt.Appendf(nil, `version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
  maintenance: {uploadpurging: {enabled: false}}
http: {addr: "127.0.0.1:0", secret: bench}
`, storage), 0o600)
	if err != nil {
		return nil, err
	}
	p, err := startProgram(dir, "registry", os.Getenv("PATH"), "docker-registry", "serve", config)
	if err != nil {
		return nil, err
	}
	r := &registry{program: p}
	err = p.ready(ctx, func() error {
		// The kernel chose the port; the log names it.
		found := listening.FindStringSubmatch(p.output())
		if found == nil {
			return errors.New("no port in the log")
		}
		r.addr = found[1]
		return answers(ctx, http.DefaultClient, "http://"+r.addr+"/v2/")
	})
	if err != nil {
		p.end()
		return nil, err
	}
	return r, nil
}

func answers(ctx context.Context, client *http.Client, url string) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	reply, err := client.Do(q)
	if err != nil {
		return err
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return errors.New(reply.Status)
	}
	return nil
}
