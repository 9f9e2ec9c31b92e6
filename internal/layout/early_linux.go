package layout

import (
	"os"

	"golang.org/x/sys/unix"
)

// beginWriting is advice: the sync at the end makes the bytes durable.
func beginWriting(f *os.File, from, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), from, n, unix.SYNC_FILE_RANGE_WRITE)
}
