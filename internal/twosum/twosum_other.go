//go:build !amd64

package twosum

const fast = false

func compress(a, b *[8]uint32, blocks []byte)     { panic("twosum: no compress on this processor") }
func compress3(a, b, c *[8]uint32, blocks []byte) { panic("twosum: no compress on this processor") }
