package cli_test

import (
	"testing"

	"airlock/internal/cli"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"shop 1.4 – müßig 貨物\n":  "shop 1.4 – müßig 貨物\n",
		"a\x1b[2Jb\rc\td\x00":    "a?[2Jb?c?d?",
		"a\u009bb\u007f":         "a?b?",
		"admin\u202egpj.exe":     "admin?gpj.exe",
		"sh\u200bop\u2066\ufeff": "sh?op??",
		"a\u2028b\u00a0c":        "a?b?c",
		"\U000e0061":             "?",
	} {
		if got := cli.Printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
