package sampletest

import (
	"bytes"
	"compress/gzip"
)

// Flushed returns content as a gzip stream of the toolchain's that was flushed
// behind every so many bytes.
func Flushed(content []byte, level, every int) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		panic(err)
	}
	for at := 0; at < len(content); at += every {
		_, _ = w.Write(content[at:min(at+every, len(content))]) // to memory
		_ = w.Flush()
	}
	_ = w.Close()
	return b.Bytes()
}
