package transfer

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func makeSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHostCertificates(t *testing.T) {
	authority, stranger, host := makeSigner(t), makeSigner(t), makeSigner(t)
	now := uint64(time.Now().Unix())
	cert := func(by ssh.Signer, kind uint32, principal string, before uint64) ssh.PublicKey {
		c := &ssh.Certificate{Key: host.PublicKey(), CertType: kind, ValidPrincipals: []string{principal}, ValidAfter: 1, ValidBefore: before}
		if err := c.SignCert(rand.Reader, by); err != nil {
			t.Fatal(err)
		}
		return c
	}
	entry := func(marker string, key ssh.PublicKey) string {
		return strings.TrimSpace(fmt.Sprintf("%s far.example %s", marker, ssh.MarshalAuthorizedKey(key))) + "\n"
	}
	trusted := entry("@cert-authority", authority.PublicKey())
	good := cert(authority, ssh.HostCert, "far.example", now+1000)
	for name, c := range map[string]struct {
		known string
		key   ssh.PublicKey
		want  bool
	}{
		"good":                     {trusted, good, true},
		"another authority":        {trusted, cert(stranger, ssh.HostCert, "far.example", now+1000), false},
		"a person's":               {trusted, cert(authority, ssh.UserCert, "far.example", now+1000), false},
		"of another host":          {trusted, cert(authority, ssh.HostCert, "near.example", now+1000), false},
		"expired":                  {trusted, cert(authority, ssh.HostCert, "far.example", now-1000), false},
		"key revoked":              {trusted + entry("@revoked", host.PublicKey()), good, false},
		"authority revoked":        {trusted + entry("@revoked", authority.PublicKey()), good, false},
		"unknown":                  {"", good, false},
		"the authority's own key":  {trusted, authority.PublicKey(), false},
		"authority as a plain key": {entry("", authority.PublicKey()), good, false},
	} {
		t.Run(name, func(t *testing.T) {
			known := filepath.Join(t.TempDir(), "known_hosts")
			if err := os.WriteFile(known, []byte(c.known), 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := newHostKeys("far.example:22", "", []string{known, known + "-missing"})
			if err != nil {
				t.Fatal(err)
			}
			err = h.verify("far.example:22", &net.TCPAddr{}, c.key)
			if (err == nil) != c.want || (err != nil && !errors.Is(err, ErrHostKey)) {
				t.Error(err)
			}
			if c.known != "" && strings.HasPrefix(c.known, "@cert") != slices.Contains(h.algorithms(), ssh.CertAlgoED25519v01) {
				t.Errorf("algorithms %q", h.algorithms())
			}
		})
	}
}

func TestAlgorithms(t *testing.T) {
	known := filepath.Join(t.TempDir(), "known_hosts")
	// A server is asked for a key of the types that the file holds for it.
	text := fmt.Sprintf("far.example %snear.example %s", ssh.MarshalAuthorizedKey(makeSigner(t).PublicKey()), rsaLine)
	if err := os.WriteFile(known, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]string{
		"far.example:22":  {ssh.KeyAlgoED25519},
		"near.example:22": {ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
		"new.example:22":  nil,
	} {
		h, err := newHostKeys(host, "", []string{known})
		if err != nil {
			t.Fatal(err)
		}
		if got := h.algorithms(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}

const rsaLine = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDBTHKJoWNt+iN0yFwBUejfiQeDvRhp4wCtte7CN3w1+NPUMAVQ5+N2Qs+N9xXTat1XRLxiftx5cSQyGsAzh1nP+a7byt/g4jKxUVGZ18egzDSOK2HveQFyaZOJzAbOhKi7Y287HN/TV0VkpyY7Mmp6LrsrRa9sVz4ST4vby1P9ht0gLZO6PXP3wT97VEmMU96qM9sxYXQCk/8yufaSH3QdfTNCNuQUWXIpZxd3y8Nv7CvsL1KfH5L+lwu8Yfu6rQRI6bUf3A3Q1dWIGTpe0r94xrHi7uX/I0U9ivTLqyvogPzTUgYlgRP0vkrIz8k4V6+iLpIb5f3FX8qDZdF2hnvOHQw393MYYJgH9ai0sXTIrp9qTBkDWsYr+L9DscKTwECArilri+L9M7K3OIlINUdJZlI+2+L6UX9oo6Z3eQ959k5CBf4/LDPAhBOHFIjpjyey9Jyxs8JTQULnqpTuWCugs3UuXvCFp2036gLSO3cS95Hsnpsn/5jgcFz9Ng7gos0=\n"
