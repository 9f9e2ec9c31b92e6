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
func ReadSums(fsys fs.FS) ([]byte, error) { return readSums(folder{fsys}) }

func readSums(from place) ([]byte, error) {
	text, err := from.read(SumsName, MaxSums)
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
	if u.Signatures, _, err = signatures(folder{fsys}); err != nil {
		return nil, err
	}
	if u.sums, err = ParseSums(text); err != nil {
		return nil, err
	}
	raw, err := u.file(folder{fsys}, ManifestName)
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
func (u *Unverified) file(from place, name string) ([]byte, error) {
	want, ok := u.sums[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s does not list %q", ErrRejected, SumsName, name)
	}
	data, err := from.read(name, MaxSmallFile)
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
	texts      map[string][]byte // every small file
	mended     []string          // names of texts that are not as they should be in the bundle
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
// the bytes, and every listed file but volumes and parity with its listed hash.
// Nothing of SHA256SUMS is parsed before its signature holds. Every refusal
// wraps ErrRejected or trust.ErrRejected; a bundle without SHA256SUMS is
// ErrIncomplete.
//
// What cannot be proven so is looked for in copy.tar, if there is one, and
// judged by the same rules; Mended tells what was taken from there.
func Open(fsys fs.FS, allowed *trust.AllowedSigners, at time.Time) (*Verified, error) {
	o := opening{places: []place{folder{fsys}}, allowed: allowed, at: at}
	attempt := func(first int) (*Verified, error) {
		v := &Verified{texts: map[string][]byte{}}
		return v, o.open(v, first)
	}
	v, err := attempt(0)
	if err == nil {
		return v, nil
	}
	if files, _ := readCopy(fsys); len(files) > 0 {
		o.places = append(o.places, files)
	}
	for first := 0; first < len(o.places) && len(o.places) > 1; first++ {
		if v, again := attempt(first); again == nil {
			return v, nil
		}
	}
	return nil, err
}

// opening is the proving of a bundle whose small files are in one of several
// places; the first is where they should be.
type opening struct {
	places  []place
	allowed *trust.AllowedSigners
	at      time.Time
}

// open proves the SHA256SUMS of one place, and what it lists.
func (o *opening) open(v *Verified, first int) error {
	text, err := readSums(o.places[first])
	if err != nil {
		return err
	}
	v.take(SumsName, text, first)
	if err := o.signatures(v, text); err != nil {
		return err
	}
	if err := o.read(v, text); err != nil {
		return err
	}
	slices.Sort(v.mended)
	return v.checkExpiry(o.at)
}

// take keeps a small file that was found in that place.
func (v *Verified) take(name string, data []byte, place int) {
	v.texts[name] = data
	if place > 0 {
		v.mended = append(v.mended, name)
	}
}

// signatures judges every signature file.
func (o *opening) signatures(v *Verified, text []byte) error {
	principals, empty, err := signatures(o.places...)
	if err != nil {
		return err
	}
	var doubts []error
	for _, principal := range principals {
		signed, err := o.signature(v, text, principal)
		if err != nil {
			return err
		}
		v.signers = append(v.signers, signed)
		v.unverified.Signatures = append(v.unverified.Signatures, principal)
		if signed.Untrusted != nil {
			doubts = append(doubts, fmt.Errorf("%s: %w", signed.File, signed.Untrusted))
		}
	}
	if len(principals) == 0 && len(empty) > 0 {
		return fmt.Errorf("%w: nobody has signed it: %s is empty", ErrRejected, strings.Join(empty, ", "))
	}
	if len(principals) == 0 {
		return fmt.Errorf("%w: nobody has signed it: no %s*%s", ErrRejected, signaturesFrom, signaturesTo)
	}
	if len(doubts) == len(principals) {
		return fmt.Errorf("%w: no signature by a trusted key: %w", ErrRejected, errors.Join(doubts...))
	}
	return nil
}

// signature judges a signature file: in the first place where it fits the bytes.
func (o *opening) signature(v *Verified, text []byte, principal string) (Signed, error) {
	var first error
	file := signaturesFrom + principal + signaturesTo
	for i, p := range o.places {
		armored, err := p.read(file, trust.MaxSignature)
		if err == nil {
			var signer *trust.Signer
			signer, err = o.allowed.Verify(Namespace, text, armored, o.at)
			switch {
			case err == nil:
				v.take(file, armored, i)
				return Signed{File: file, Signer: signer}, nil
			case errors.Is(err, trust.ErrNotTrusted):
				v.take(file, armored, i)
				return Signed{File: file, Untrusted: err}, nil
			}
			err = fmt.Errorf("%s: %w", file, err)
		}
		if first == nil || errors.Is(first, fs.ErrNotExist) {
			first = err
		}
	}
	return Signed{}, first
}

// read takes every small file that SHA256SUMS lists.
func (o *opening) read(v *Verified, text []byte) error {
	u := &v.unverified
	u.text, u.Root = text, DigestOf(text)
	var err error
	if u.sums, err = ParseSums(text); err != nil {
		return err
	}
	raw, err := o.file(v, ManifestName)
	if err != nil {
		return err
	}
	if u.Manifest, err = Parse(raw); err != nil {
		return err
	}
	large := map[string]bool{}
	for _, f := range u.Manifest.Large() {
		large[f.Name] = true
		if _, ok := u.sums[f.Name]; !ok {
			return fmt.Errorf("%w: %s does not list %q", ErrRejected, SumsName, f.Name)
		}
	}
	for _, name := range u.sums.Names() {
		if large[name] || name == ManifestName {
			continue
		}
		if _, err := o.file(v, name); err != nil {
			return err
		}
	}
	return nil
}

// file takes a listed small file from the first place that has it as listed.
func (o *opening) file(v *Verified, name string) ([]byte, error) {
	var first error
	for i, p := range o.places {
		data, err := v.unverified.file(p, name)
		if err == nil {
			v.take(name, data, i)
			return data, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
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

// Sum returns the SHA-256 that SHA256SUMS lists for a volume or parity file.
func (v *Verified) Sum(name string) Digest { return v.unverified.sums[name] }

// File returns the bytes of a listed file other than a volume or parity, or nil.
func (v *Verified) File(name string) []byte {
	if _, ok := v.unverified.sums[name]; !ok {
		return nil
	}
	return v.texts[name]
}

// signatures returns the principals of the signature files, sorted, and the files
// that are empty: on FAT, a power cut while one is given its name leaves it so,
// and it is none.
func signatures(places ...place) (principals, empty []string, err error) {
	for _, p := range places {
		names, none, err := p.names()
		if err != nil {
			return nil, nil, err
		}
		for _, name := range names {
			if principal, ok := SignaturePrincipal(name); ok {
				principals = append(principals, principal)
			}
		}
		for _, name := range none {
			if _, ok := SignaturePrincipal(name); ok {
				empty = append(empty, name)
			}
		}
	}
	slices.Sort(principals)
	principals = slices.Compact(principals)
	if len(principals) > MaxSignatures {
		return nil, nil, fmt.Errorf("%w: %d signature files, at most %d are allowed", ErrRejected, len(principals), MaxSignatures)
	}
	return principals, empty, nil
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrInvalid) { // a link, say, which is not followed
		return nil, fmt.Errorf("%w: %w", ErrRejected, err)
	}
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
