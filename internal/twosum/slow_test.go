//go:build amd64

package twosum

import "testing"

// TestWithoutExtensions runs the tests as on a processor without the SHA extensions.
func TestWithoutExtensions(t *testing.T) {
	defer func(was bool) { fast = was }(fast)
	fast = false
	for name, test := range map[string]func(*testing.T){
		"library": TestAgreesWithTheStandardLibrary, "extend": TestExtend, "append to": TestAppendTo, "write": TestWrite, "empty": TestEmpty,
	} {
		t.Run(name, test)
	}
}
