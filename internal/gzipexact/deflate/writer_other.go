//go:build !amd64

package deflate

const hasSendPairs = false

func sendPairs(*tokenCode, *Token, int, *byte, uint64, uint) (uint64, uint, int) {
	panic("deflate: no sendPairs on this processor")
}
