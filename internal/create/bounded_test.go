package create_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"airlock/internal/create"
	"airlock/internal/oci"
)

// TestDocumentsTogether: documents are bounded over all images of a release,
// and one that several of them have counts once.
func TestDocumentsTogether(t *testing.T) {
	const index = "application/vnd.oci.image.index.v1+json"
	padding := strings.Repeat("x", oci.MaxDocument-200)
	source := func(n int) create.Source {
		s := newSource()
		text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[],"annotations":{"n":"%d","padding":%q}}`, index, n, padding)
		s.SetRoot(index, s.Add([]byte(text)))
		return s
	}
	most := oci.MaxDocumentBytes / oci.MaxDocument
	var different, same []create.Source
	for i := range most + 1 {
		different, same = append(different, source(i)), append(same, source(7))
	}
	for _, c := range []struct {
		name    string
		sources []create.Source
		refused bool
	}{
		{"as many as are allowed", different[:most], false},
		{"one more", different, true},
		{"one more, all of them the same", same, false},
	} {
		_, err := create.Collect(t.Context(), release(c.sources...))
		if errors.Is(err, create.ErrRejected) != c.refused || err != nil && !strings.Contains(err.Error(), "bytes in one release") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
