package manifest

import "io/fs"

// ReadCopy is readCopy.
func ReadCopy(fsys fs.FS) (map[string][]byte, error) { return readCopy(fsys) }
