//go:build linux || darwin

package daemon

import "golang.org/x/sys/unix"

// freeSpace returns the bytes that the user can still write in dir.
func freeSpace(dir string) (free int64, known bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
