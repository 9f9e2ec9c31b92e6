//go:build !linux && !darwin

package daemon

// freeSpace is not known here; a full disk shows when it is full.
func freeSpace(string) (free int64, known bool) { return 0, false }
