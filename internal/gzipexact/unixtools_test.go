package gzipexact

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"airlock/internal/gzipexact/sampletest"
)

// piped returns what a command makes of p.
func piped(t *testing.T, p []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(p)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// Real streams of the tools that scripts make layers with, and the recipe that
// each must get. Where several encoders agree on the sample, any of them will do.
func TestUnixTools(t *testing.T) {
	const (
		pyFile = "import gzip,sys,shutil\n" +
			"with gzip.GzipFile('', 'wb', int(sys.argv[1]), sys.stdout.buffer, 0) as w: shutil.copyfileobj(sys.stdin.buffer, w)"
		pyMem9 = "import sys,zlib\nc=zlib.compressobj(int(sys.argv[1]), 8, 31, 9)\n" +
			"sys.stdout.buffer.write(c.compress(sys.stdin.buffer.read())+c.flush())"
	)
	p := append(sampletest.Mixed(1, 1<<20), sourceTree(t)[:1500<<10]...)
	for i, c := range []struct {
		want string
		cmd  string
		args []string
	}{
		{"zlib level 6", "python3", []string{"-c", pyFile, "6"}},
		{"zlib level 9", "python3", []string{"-c", pyFile, "9"}},
		{"zlib level 1", "python3", []string{"-c", pyFile, "1"}},
		{"zlib level 3", "python3", []string{"-c", pyFile, "3"}},
		{"zlib memLevel 9 level 6", "python3", []string{"-c", pyMem9, "6"}},
		{"GNU gzip level 6", "gzip", nil},
		{"GNU gzip level 1", "gzip", []string{"-1"}},
		{"GNU gzip level 4", "gzip", []string{"-4"}},
		{"GNU gzip level 9", "gzip", []string{"-9n"}},
		{"pigz level 6, 128 KiB blocks", "pigz", []string{"-p2"}},
		{"pigz level 1, 128 KiB blocks", "pigz", []string{"-p2", "-1"}},
		{"pigz level 9, 128 KiB blocks", "pigz", []string{"-p2", "-9"}},
		{"pigz level 6, 128 KiB blocks", "pigz", []string{"-p1"}},
		{"pigz -p1 level 2, 128 KiB blocks", "pigz", []string{"-p1", "-2"}},
	} {
		t.Run(strings.TrimSpace(c.want+" "+c.cmd), func(t *testing.T) {
			path := tool(t, c.cmd)
			if underRace && i%5 > 0 {
				t.Skip("a sample of the tools will do under the race detector")
			}
			for _, n := range []int{len(p), 100, 0} {
				r := proves(t, piped(t, p[:n], path, c.args...))
				if n == len(p) && r.String() != c.want {
					t.Errorf("got %q, want %q", r, c.want)
				}
			}
		})
	}
}

func TestTar(t *testing.T) {
	tar := tool(t, "tar")
	tool(t, "gzip")
	cmd := exec.Command("go", "env", "GOROOT")
	root, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tar, "-C", strings.TrimSpace(string(root)), "-czf", "-", "src/net").Output()
	if err != nil {
		t.Fatal(err)
	}
	if r := proves(t, out); r.String() != "GNU gzip level 6" {
		t.Errorf("got %q", r)
	}
}
