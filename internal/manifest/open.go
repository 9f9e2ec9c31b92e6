package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"airlock/internal/trust"
)

// MaxSignatures is how many signature files a bundle may have.
const MaxSignatures = 32

// MaxSmallFile bounds in bytes every listed file that is read whole, such as
// the blocks.bin of MaxSpace bytes of volumes.
const MaxSmallFile = 64 << 20

// Unverified is what a bundle says of itself. Nothing of it is proven: it is
// for people to look at, and nothing else takes it.
type Unverified struct {
	text       []byte // SHA256SUMS
	sums       Sums
	Manifest   *Manifest
	Root       Digest   // of SHA256SUMS
	Signatures []string // principals by the names of the signature files, sorted
}

// ReadSums returns the bytes of SHA256SUMS, unjudged. Without that file a
// bundle is ErrIncomplete.
func ReadSums(fsys fs.FS) ([]byte, error) {
	text, err := ReadFile(fsys, SumsName, MaxSums)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s, which is written last", ErrIncomplete, SumsName)
	}
	return text, err
}

// Read reads a bundle's texts without judging signatures. What it returns is
// consistent (manifest.json has the listed hash), but anyone may have made it.
func Read(fsys fs.FS) (*Unverified, error) {
	text, err := ReadSums(fsys)
	if err != nil {
		return nil, err
	}
	u := &Unverified{text: text, Root: DigestOf(text)}
	if u.Signatures, err = signatures(fsys); err != nil {
		return nil, err
	}
	if u.sums, err = ParseSums(text); err != nil {
		return nil, err
	}
	raw, err := u.file(fsys, ManifestName)
	if err != nil {
		return nil, err
	}
	u.Manifest, err = Parse(raw)
	return u, err
}

// Sums returns what SHA256SUMS lists.
func (u *Unverified) Sums() Sums { return u.sums }

// Text returns the bytes of SHA256SUMS.
func (u *Unverified) Text() []byte { return u.text }

// file returns a listed small file that has the listed hash.
func (u *Unverified) file(fsys fs.FS, name string) ([]byte, error) {
	want, ok := u.sums[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s does not list %q", ErrRejected, SumsName, name)
	}
	data, err := ReadFile(fsys, name, MaxSmallFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q is missing", ErrRejected, name)
	}
	if err != nil {
		return nil, err
	}
	if got := DigestOf(data); got != want {
		return nil, fmt.Errorf("%w: %q is damaged or was changed: has SHA-256 %s, %s lists %s", ErrRejected, name, got.Hex(), SumsName, want.Hex())
	}
	return data, nil
}

// Verified is a bundle whose texts are proven: signed by somebody the site
// trusts, and every small file as it was signed. Only Open makes one.
type Verified struct {
	unverified Unverified
	files      map[string][]byte
	signers    []Signed
}

// Signed is one signature file and what is to be thought of it.
type Signed struct {
	File      string
	Signer    *trust.Signer // nil: the key is not trusted
	Untrusted error         // why not
}

// Open proves a bundle's texts: at least one signature over SHA256SUMS by a
// key that allowed trusts at the given time, no signature that does not fit
// the bytes, and every listed file but the volumes with its listed hash.
// Nothing of SHA256SUMS is parsed before its signature holds. Every refusal
// wraps ErrRejected or trust.ErrRejected; a bundle without SHA256SUMS is
// ErrIncomplete.
func Open(fsys fs.FS, allowed *trust.AllowedSigners, at time.Time) (*Verified, error) {
	text, err := ReadSums(fsys)
	if err != nil {
		return nil, err
	}
	signers, err := checkSignatures(fsys, text, allowed, at)
	if err != nil {
		return nil, err
	}
	v := &Verified{files: map[string][]byte{}, signers: signers}
	for _, s := range signers {
		principal, _ := SignaturePrincipal(s.File)
		v.unverified.Signatures = append(v.unverified.Signatures, principal)
	}
	if err := v.read(fsys, text); err != nil {
		return nil, err
	}
	return v, v.checkExpiry(at)
}

func checkSignatures(fsys fs.FS, text []byte, allowed *trust.AllowedSigners, at time.Time) ([]Signed, error) {
	principals, err := signatures(fsys)
	if err != nil {
		return nil, err
	}
	var all []Signed
	var doubts []error
	for _, principal := range principals {
		file := signaturesFrom + principal + signaturesTo
		armored, err := ReadFile(fsys, file, trust.MaxSignature)
		if err != nil {
			return nil, err
		}
		signer, err := allowed.Verify(Namespace, text, armored, at)
		switch {
		case err == nil:
			all = append(all, Signed{File: file, Signer: signer})
		case errors.Is(err, trust.ErrNotTrusted):
			all = append(all, Signed{File: file, Untrusted: err})
			doubts = append(doubts, fmt.Errorf("%s: %w", file, err))
		default:
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: nobody has signed it: no %s*%s", ErrRejected, signaturesFrom, signaturesTo)
	}
	if len(doubts) == len(all) {
		return nil, fmt.Errorf("%w: no signature by a trusted key: %w", ErrRejected, errors.Join(doubts...))
	}
	return all, nil
}

func (v *Verified) read(fsys fs.FS, text []byte) error {
	u := &v.unverified
	u.text, u.Root = text, DigestOf(text)
	var err error
	if u.sums, err = ParseSums(text); err != nil {
		return err
	}
	raw, err := u.file(fsys, ManifestName)
	if err != nil {
		return err
	}
	if u.Manifest, err = Parse(raw); err != nil {
		return err
	}
	volumes := map[string]bool{}
	for _, volume := range u.Manifest.Volumes {
		volumes[volume.Name] = true
		if _, ok := u.sums[volume.Name]; !ok {
			return fmt.Errorf("%w: %s does not list %q", ErrRejected, SumsName, volume.Name)
		}
	}
	for _, name := range u.sums.Names() {
		if volumes[name] {
			continue
		}
		if v.files[name], err = u.file(fsys, name); err != nil {
			return err
		}
	}
	return nil
}

func (v *Verified) checkExpiry(at time.Time) error {
	m := v.Manifest()
	if m.Expires == "" {
		return nil
	}
	expires, err := ParseTime(m.Expires)
	if err != nil || !at.Before(expires) {
		return fmt.Errorf("%w: %s expired on %s", ErrRejected, m.Title(), m.Expires)
	}
	return nil
}

// Manifest returns the proven manifest.json. It must not be changed.
func (v *Verified) Manifest() *Manifest { return v.unverified.Manifest }

// Root returns the SHA-256 of SHA256SUMS, which names the bundle.
func (v *Verified) Root() Digest { return v.unverified.Root }

// Signed returns the signature files, at least one of them by a trusted key.
func (v *Verified) Signed() []Signed { return v.signers }

// Unproven returns the bundle's texts as Read returns them.
func (v *Verified) Unproven() *Unverified { return &v.unverified }

// Sum returns the SHA-256 that SHA256SUMS lists for a volume.
func (v *Verified) Sum(name string) Digest { return v.unverified.sums[name] }

// File returns the bytes of a listed file other than a volume, or nil.
func (v *Verified) File(name string) []byte { return v.files[name] }

// signatures returns the principals of the signature files, sorted.
func signatures(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	var principals []string
	for _, entry := range entries {
		if principal, ok := SignaturePrincipal(entry.Name()); ok {
			principals = append(principals, principal)
		}
	}
	if len(principals) > MaxSignatures {
		return nil, fmt.Errorf("%w: %d signature files, at most %d are allowed", ErrRejected, len(principals), MaxSignatures)
	}
	slices.Sort(principals)
	return principals, nil
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%w: %q is not a regular file of at most %d bytes", ErrRejected, strings.ToValidUTF8(name, "?"), limit)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	var more [1]byte
	if n, _ := f.Read(more[:]); n > 0 {
		return nil, fmt.Errorf("%w: %q grew while it was read", ErrRejected, name)
	}
	return data, nil
}
