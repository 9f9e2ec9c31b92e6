package commands_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/spf13/cobra"

	"airlock/internal/cli"
	"airlock/internal/commands"
)

// TestPrintJSON holds that what is printed says the same, and shows nothing else.
func TestPrintJSON(t *testing.T) {
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	for _, text := range []string{"plain", "müßig 貨物 <&>", "a\x1b[2J\u009b", "admin\u202egpj.exe", "\U000e0061\u2028\n"} {
		out.Reset()
		if err := commands.PrintJSON(cmd, map[string]string{"x": text}); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["x"] != text || cli.Printable(out.String()) != out.String() {
			t.Errorf("%q: %q, %v", text, out.String(), err)
		}
	}
}
