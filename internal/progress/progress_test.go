package progress_test

import (
	"sync"
	"testing"

	"airlock/internal/progress"
)

// TestDiscard holds that Discard takes everything, from several goroutines.
func TestDiscard(t *testing.T) {
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			task := progress.Discard.Start("packing", -1)
			if task == nil {
				t.Error("no task")
				return
			}
			task.Add(1 << 40)
			task.Add(-1)
			task.Done()
			task.Done()
		})
	}
	group.Wait()
}
