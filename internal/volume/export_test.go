package volume

import (
	"context"

	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// FollowGroups is Follow with groups of another size.
func (w *Writer) FollowGroups(ctx context.Context, plan *manifest.Parity, at Place) error {
	return w.follow(ctx, plan, at, progress.Discard.Start("parity", 0))
}
