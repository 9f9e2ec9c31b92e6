// Package trust says whether given bytes were signed by somebody whom the
// site's allowed_signers file names.
//
// A signature is one armoured SSHSIG (OpenSSH's PROTOCOL.sshsig), as
// `ssh-keygen -Y sign` writes it, over exact bytes and inside a namespace. The
// reader is stricter than OpenSSH's:
//
//   - the text is one armoured block of 70 columns with LF line ends, and
//     nothing before or after it; [Signature.Marshal] gives back the same bytes;
//   - version 1, a namespace of printable ASCII, an empty reserved field,
//     SHA-256 or SHA-512, and no byte left over at any depth;
//   - keys are Ed25519, ECDSA P-256 or P-384, RSA of 3072 to 8192 bits with
//     rsa-sha2-256 or rsa-sha2-512, or FIDO security keys (Ed25519, ECDSA
//     P-256) whose signature proves a touch;
//   - certificates, DSA, P-521, SHA-1 and everything not named above are refused.
//
// Who may sign stands in an [AllowedSigners] file in the form of ssh-keygen(1),
// "ALLOWED SIGNERS". A line that this package does not fully understand makes
// the whole file an error: a restriction is never skipped over.
package trust

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// MaxSignature is the size in bytes of the largest armoured signature that
// [ParseSignature] looks at. An RSA-8192 signature takes about 3 KiB.
const MaxSignature = 16 << 10

// ErrRejected is wrapped by every refusal of a signature: malformed, made in
// another namespace or over other bytes, without touch, or not trusted.
var ErrRejected = errors.New("signature rejected")

// ErrNotTrusted wraps [ErrRejected]. The signature is cryptographically right,
// but no line of the allowed_signers file allows its key, or only in other
// namespaces or at other times.
var ErrNotTrusted = fmt.Errorf("%w: signer not trusted", ErrRejected)

// A rejection is an error text of its own that belongs to a sentinel.
type rejection struct {
	kind error
	text string
}

func (r *rejection) Error() string { return r.text }
func (r *rejection) Unwrap() error { return r.kind }

func rejectf(format string, args ...any) error {
	return &rejection{ErrRejected, fmt.Sprintf(format, args...)}
}

func distrustf(format string, args ...any) error {
	return &rejection{ErrNotTrusted, fmt.Sprintf(format, args...)}
}

// describe names a key as people compare it: type and SHA-256 fingerprint.
func describe(pub ssh.PublicKey) string {
	return pub.Type() + " " + ssh.FingerprintSHA256(pub)
}
