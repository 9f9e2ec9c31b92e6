package create

import (
	"context"
	"fmt"
	"sync"

	"airlock/internal/manifest"
	"airlock/internal/oci"
)

// A documentBudget bounds what is kept of all documents of a release together,
// whatever number of images and referrers its sources tell of.
type documentBudget struct {
	mu   sync.Mutex
	left int64
	seen map[manifest.Digest]bool
}

func newDocumentBudget() *documentBudget {
	return &documentBudget{left: oci.MaxDocumentBytes, seen: map[manifest.Digest]bool{}}
}

// take accounts for a document that is to be fetched, each once.
func (b *documentBudget) take(d oci.Descriptor) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen[d.Digest] {
		return nil
	}
	b.seen[d.Digest] = true
	if b.left -= d.Size; b.left < 0 {
		return fmt.Errorf("%w: documents of more than %d bytes in one release", ErrRejected, oci.MaxDocumentBytes)
	}
	return nil
}

// A boundedSource is a Source whose documents are accounted for.
type boundedSource struct {
	Source
	budget *documentBudget
}

func (s boundedSource) Document(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	if err := s.budget.take(d); err != nil {
		return nil, err
	}
	return s.Source.Document(ctx, d)
}
