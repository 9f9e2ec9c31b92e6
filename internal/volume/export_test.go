package volume

import (
	"context"

	"airlock/internal/manifest"
	"airlock/internal/progress"
)

// FollowGroups is Follow with groups of another size, or FollowLarge of spaces of
// more than so many blocks.
func (w *Writer) FollowGroups(ctx context.Context, plan *manifest.Parity, beyond int64, at Place) error {
	return w.follow(ctx, plan, beginning{beyond, func() progress.Task { return progress.Discard.Start("parity", 0) }}, at)
}
