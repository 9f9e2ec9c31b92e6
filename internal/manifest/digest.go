package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest is a SHA-256 hash. It names a content, a blob or a file. The zero
// Digest names nothing and is never the result of ParseDigest.
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// ParseDigest reads the OCI spelling "sha256:" and 64 lower-case hexadecimal
// digits (OCI image-spec, descriptor.md, "Registered algorithms"). Every other
// spelling and algorithm is an error.
func ParseDigest(s string) (Digest, error) {
	hexDigits, ok := strings.CutPrefix(s, digestPrefix)
	if !ok {
		return Digest{}, fmt.Errorf("digest %q: only sha256 digests are supported", clip(s))
	}
	return ParseHex(hexDigits)
}

// ParseHex reads 64 lower-case hexadecimal digits, as SHA256SUMS spells them.
func ParseHex(s string) (Digest, error) {
	var d Digest
	if len(s) != hex.EncodedLen(len(d)) || strings.ToLower(s) != s {
		return Digest{}, fmt.Errorf("digest %q: want 64 lower-case hexadecimal digits", clip(s))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("digest %q: %w", clip(s), err)
	}
	if d.IsZero() {
		return Digest{}, fmt.Errorf("digest %q: the zero digest names nothing", clip(s))
	}
	return d, nil
}

// DigestOf returns the SHA-256 of data.
func DigestOf(data []byte) Digest { return sha256.Sum256(data) }

// String returns the OCI spelling.
func (d Digest) String() string { return digestPrefix + d.Hex() }

// Hex returns the 64 hexadecimal digits without the algorithm.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// Short returns the digest's first 12 hexadecimal digits, for people.
func (d Digest) Short() string { return d.Hex()[:12] }

// IsZero reports whether d names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// Compare orders digests by their bytes.
func (d Digest) Compare(other Digest) int { return strings.Compare(string(d[:]), string(other[:])) }

// MarshalText returns the OCI spelling.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDigest. It leaves d alone when it fails.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
