package trust

import (
	"bytes"
	"encoding/base64"
	"strings"
)

const (
	armorBegin   = "-----BEGIN SSH SIGNATURE-----\n"
	armorEnd     = "-----END SSH SIGNATURE-----\n"
	armorColumns = 70 // what ssh-keygen writes
)

// armor returns blob in the one textual form that dearmor accepts.
func armor(blob []byte) []byte {
	text := base64.StdEncoding.EncodeToString(blob)
	var b bytes.Buffer
	b.WriteString(armorBegin)
	for len(text) > 0 {
		n := min(armorColumns, len(text))
		b.WriteString(text[:n])
		b.WriteByte('\n')
		text = text[n:]
	}
	b.WriteString(armorEnd)
	return b.Bytes()
}

// dearmor returns the bytes inside an armoured signature. It accepts exactly
// what armor writes; the checks before the last one only give a better reason.
func dearmor(text []byte) ([]byte, error) {
	if len(text) > MaxSignature {
		return nil, rejectf("reading signature: %d bytes, at most %d are allowed", len(text), MaxSignature)
	}
	s := string(text)
	if err := checkFrame(s); err != nil {
		return nil, err
	}
	body := strings.TrimSuffix(strings.TrimPrefix(s, armorBegin), armorEnd)
	switch {
	case strings.Contains(body, "-----"):
		return nil, rejectf("reading signature: more than one armoured block")
	case strings.Contains(body, ":"):
		return nil, rejectf("reading signature: header lines are not allowed inside the armour")
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(body)
	if err != nil {
		return nil, rejectf("reading signature: armour is not base64: %v", err)
	}
	if !bytes.Equal(armor(blob), text) {
		return nil, rejectf("reading signature: armour is not in lines of %d columns", armorColumns)
	}
	return blob, nil
}

// checkFrame checks the first and the last line of an armoured signature.
func checkFrame(s string) error {
	switch {
	case s == "":
		return rejectf("reading signature: file is empty")
	case strings.Contains(s, "\r"):
		return rejectf("reading signature: line ends are CRLF or hold a carriage return; LF alone is allowed")
	case !strings.HasPrefix(s, armorBegin):
		return rejectf("reading signature: first line is not %q", strings.TrimSpace(armorBegin))
	case strings.HasSuffix(s, "\n"+armorEnd):
		return nil
	case strings.Contains(s, "\n"+armorEnd):
		return rejectf("reading signature: bytes after the end line")
	}
	return rejectf("reading signature: last line is not %q and a line feed: cut short or damaged", strings.TrimSpace(armorEnd))
}
