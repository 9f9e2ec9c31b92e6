#include "go_asm.h"
#include "textflag.h"

// TOKEN makes of the token at o what tokenCode.bits does: the bits in v and
// their number in k. The lowest six bits of a distance's code less its lower
// half are the length of the code.
#define TOKEN(o, v, k, s, d) \
	MOVL  o(SI), v                   \
	MOVL  v, s                       \
	MOVL  v, d                       \
	ANDL  $const_tokenSymbol, s      \
	SHRL  $const_tokenDistShift, d   \
	ANDL  $31, d                     \
	MOVL  tokenCode_sym(DI)(s*4), s  \
	MOVL  tokenCode_dist(DI)(d*4), d \
	SHRL  $const_tokenExtra, v       \
	MOVL  d, k                       \
	SHRL  $16, k                     \
	SHLXQ k, v, v                    \
	MOVWLZX d, k                     \
	ORQ   k, v                       \
	SHRL  $24, d                     \
	MOVL  s, k                       \
	SHRL  $24, k                     \
	ANDL  $0xffffff, s               \
	SHLXQ k, v, v                    \
	ORQ   s, v                       \
	ADDL  d, k

// SEND puts k bits v behind those pending, and whole bytes to the output.
#define SEND(v, k) \
	SHLXQ R10, v, v   \
	ORQ   v, R9       \
	ADDL  k, R10      \
	MOVQ  R9, (R8)    \
	MOVL  R10, R11    \
	SHRL  $3, R11     \
	ADDQ  R11, R8     \
	MOVL  R10, R11    \
	ANDL  $56, R11    \
	SHRXQ R11, R9, R9 \
	ANDL  $7, R10

// func sendPairs(c *tokenCode, tokens *Token, n int, out *byte, acc uint64, pending uint) (rest uint64, left uint, wrote int)
TEXT ·sendPairs(SB), NOSPLIT, $0-72
	MOVQ c+0(FP), DI
	MOVQ tokens+8(FP), SI
	MOVQ n+16(FP), R12
	MOVQ out+24(FP), R8
	MOVQ acc+32(FP), R9
	MOVQ pending+40(FP), R10

pair:
	TOKEN(0, AX, BX, CX, DX)
	TOKEN(4, R13, R15, CX, DX)
	LEAL  (BX)(R15*1), CX
	CMPL  CX, $56
	JA    each
	SHLXQ BX, R13, R13
	ORQ   R13, AX
	SEND(AX, CX)

next:
	ADDQ $8, SI
	DECQ R12
	JNZ  pair
	MOVQ R9, rest+48(FP)
	MOVQ R10, left+56(FP)
	SUBQ out+24(FP), R8
	MOVQ R8, wrote+64(FP)
	RET

each:
	SEND(AX, BX)
	SEND(R13, R15)
	JMP next
