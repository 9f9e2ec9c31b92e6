//go:build !amd64

package goflate

const hasEnterUnits = false

func enterUnits(*chains, *byte, uint32, int, int) {
	panic("goflate: no enterUnits on this processor")
}
