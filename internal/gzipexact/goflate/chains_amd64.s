#include "go_asm.h"
#include "textflag.h"

// One load has the bytes of eight positions. before<> takes the first four of
// each, swapped as hash4 wants them, behind<> the next four.
DATA before<>+0(SB)/8, $0x0102030400010203
DATA before<>+8(SB)/8, $0x0304050602030405
DATA before<>+16(SB)/8, $0x0506070804050607
DATA before<>+24(SB)/8, $0x0708090a06070809
GLOBL before<>(SB), RODATA|NOPTR, $32

DATA behind<>+0(SB)/8, $0x0807060507060504
DATA behind<>+8(SB)/8, $0x0a09080709080706
DATA behind<>+16(SB)/8, $0x0c0b0a090b0a0908
DATA behind<>+24(SB)/8, $0x0e0d0c0b0d0c0b0a
GLOBL behind<>(SB), RODATA|NOPTR, $32

DATA upwards<>+0(SB)/8, $0x0000000100000000
DATA upwards<>+8(SB)/8, $0x0000000300000002
DATA upwards<>+16(SB)/8, $0x0000000500000004
DATA upwards<>+24(SB)/8, $0x0000000700000006
GLOBL upwards<>(SB), RODATA|NOPTR, $32

#define FILL(value, x, y) \
	MOVL         $value, AX \
	VMOVD        AX, x      \
	VPBROADCASTD x, y

// ONE enters position k of eight, whose hashes are on the stack: what the two
// heads hold goes to lane l of x and y.
#define ONE(k, l, x, y) \
	MOVL    (4*k)(SP), AX                       \
	MOVL    (32+4*k)(SP), BX                    \
	MOVL    chains_head4(DI)(AX*4), DX          \
	VPINSRD $l, chains_head4(DI)(AX*4), x, x    \
	VPINSRD $l, chains_head5(DI)(BX*4), y, y    \
	ANDL    $~const_nearMask, DX                \
	LEAL    (k+1<<const_rankShift)(R9)(DX*1), DX \
	LEAL    k(R8), CX                           \
	MOVL    DX, chains_head4(DI)(AX*4)          \
	MOVL    CX, chains_head5(DI)(BX*4)

// func enterUnits(c *chains, p *byte, far uint32, at, n int)
TEXT ·enterUnits(SB), NOSPLIT, $64-40
	MOVQ c+0(FP), DI
	MOVQ p+8(FP), SI
	MOVL far+16(FP), R8
	MOVQ at+24(FP), R11
	MOVQ n+32(FP), R12

	VMOVDQU before<>(SB), Y15
	VMOVDQU behind<>(SB), Y14
	FILL(const_hashMul, X13, Y13)
	FILL(const_none, X6, Y6)
	FILL(const_nearMask, X7, Y7)
	FILL(8, X9, Y9)
	FILL(const_nearEnough, X10, Y10)
	FILL(const_slideBy, X11, Y11)

	// The places of eight.
	VMOVD        R8, X5
	VPBROADCASTD X5, Y5
	VPADDD       upwards<>(SB), Y5, Y5

unit:
	VBROADCASTI128 (SI), Y0
	VPSHUFB        Y14, Y0, Y1
	VPSHUFB        Y15, Y0, Y0
	VPMULLD        Y13, Y0, Y0
	VPSLLD         $24, Y1, Y1
	VPADDD         Y0, Y1, Y1
	VPSRLD         $(32-const_hashBits), Y0, Y0
	VPSRLD         $(32-const_bits5), Y1, Y1
	VMOVDQU        Y0, 0(SP)
	VMOVDQU        Y1, 32(SP)
	MOVL           R8, R9
	ANDL           $const_nearMask, R9
	ONE(0, 0, X0, X1)
	ONE(1, 1, X0, X1)
	ONE(2, 2, X0, X1)
	ONE(3, 3, X0, X1)
	ONE(4, 0, X2, X3)
	ONE(5, 1, X2, X3)
	ONE(6, 2, X2, X3)
	ONE(7, 3, X2, X3)

	VINSERTI128 $1, X2, Y0, Y0
	VINSERTI128 $1, X3, Y1, Y1

	// Links of five and four bytes, and ranks.
	VPSUBD       Y1, Y5, Y1
	VPSUBD       Y0, Y5, Y2
	VPAND        Y7, Y2, Y2
	VPSRLD       $const_rankShift, Y0, Y0
	VPMINUD      Y6, Y1, Y1
	VPMINUD      Y6, Y2, Y2

	// Where neither leaves a match possible, as note finds.
	VPCMPGTD  Y10, Y2, Y3
	VPMAXUD   Y1, Y2, Y4
	VPCMPGTD  Y11, Y4, Y4
	VPAND     Y4, Y3, Y3
	VMOVMSKPS Y3, AX
	NOTL      AX
	MOVQ      R11, BX
	SHRQ      $3, BX
	MOVB      AX, chains_some(DI)(BX*1)

	// Two kinds are packed together; that leaves their halves crossed.
	VPACKUSDW    Y1, Y2, Y1
	VPERMQ       $0xd8, Y1, Y1
	VEXTRACTI128 $1, Y0, X3
	VPACKUSDW    X3, X0, X0
	VMOVDQU      X1, chains_link4(DI)(R11*2)
	VEXTRACTI128 $1, Y1, chains_link5(DI)(R11*2)
	VMOVDQU      X0, chains_rank(DI)(R11*2)
	VPADDD       Y9, Y5, Y5
	ADDL         $8, R8
	ADDQ         $8, R11
	ADDQ         $8, SI
	SUBQ         $8, R12
	JA           unit
	VZEROUPPER
	RET
