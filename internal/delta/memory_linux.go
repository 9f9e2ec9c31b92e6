package delta

import (
	"syscall"
	"unsafe"
)

// hugePage is the size in bytes of a huge page where it is smallest.
const hugePage = 2 << 20

// advise asks the operating system to map a table in huge pages: of small ones
// it has far more than the processor remembers, and nearly each look into the
// table would begin with finding out where it lies. It may refuse.
func advise(table []uint64) {
	raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(table))), 8*len(table))
	// Only whole ones, so that nobody else's memory is meant.
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % hugePage
	if uintptr(len(raw)) < skip+hugePage {
		return
	}
	raw = raw[skip:]
	_ = syscall.Madvise(raw[:len(raw)/hugePage*hugePage], syscall.MADV_HUGEPAGE)
}
