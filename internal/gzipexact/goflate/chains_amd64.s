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

// ONE enters position k of eight, whose hashes are on the stack: it moves what
// the three heads hold to where the links are made of that.
#define ONE(k) \
	MOVL (4*k)(SP), AX                     \
	MOVL (32+4*k)(SP), BX                  \
	MOVL (64+4*k)(SP), DX                  \
	MOVL chains_head4(DI)(AX*4), R13       \
	MOVL R13, (chains_old4+4*k)(DI)(R10*4) \
	INCL R13                               \
	ANDL $const_rankMask, R13              \
	LEAL (k<<const_rankBits)(R9)(R13*1), R13 \
	MOVL R13, chains_head4(DI)(AX*4)       \
	MOVL chains_head5(DI)(BX*4), AX        \
	MOVL chains_head8(DI)(DX*4), CX        \
	LEAL k(R8), R13                        \
	MOVL AX, (chains_old5+4*k)(DI)(R10*4)  \
	MOVL CX, (chains_old8+4*k)(DI)(R10*4)  \
	MOVL R13, chains_head5(DI)(BX*4)       \
	MOVL R13, chains_head8(DI)(DX*4)

// func enterUnits(c *chains, p *byte, far uint32, at, n int)
TEXT ·enterUnits(SB), NOSPLIT, $96-40
	MOVQ c+0(FP), DI
	MOVQ p+8(FP), SI
	MOVL far+16(FP), R8
	MOVQ at+24(FP), R11
	MOVQ n+32(FP), R12

	VMOVDQU before<>(SB), Y15
	VMOVDQU behind<>(SB), Y14
	FILL(const_hashMul, X13, Y13)
	FILL(const_mul8, X12, Y12)

	// The places of eight first links and of what was there.
	VMOVD        R8, X5
	VPBROADCASTD X5, Y5
	VPADDD       upwards<>(SB), Y5, Y5
	XORL         R10, R10

heads:
	VBROADCASTI128 (SI)(R10*1), Y0
	VPSHUFB        Y14, Y0, Y1
	VPSHUFB        Y15, Y0, Y0
	VPMULLD        Y13, Y0, Y0
	VPMULLD        Y12, Y1, Y3
	VPSLLD         $24, Y1, Y1
	VPADDD         Y0, Y1, Y1
	VPADDD         Y0, Y3, Y3
	VPSRLD         $(32-const_hashBits), Y0, Y0
	VPSRLD         $(32-const_bits5), Y1, Y1
	VPSRLD         $(32-const_bits8), Y3, Y3
	VMOVDQU        Y0, 0(SP)
	VMOVDQU        Y1, 32(SP)
	VMOVDQU        Y3, 64(SP)
	MOVL           R8, R9
	SHLL           $const_rankBits, R9
	ONE(0)
	ONE(1)
	ONE(2)
	ONE(3)
	ONE(4)
	ONE(5)
	ONE(6)
	ONE(7)
	ADDL           $8, R8
	ADDQ           $8, R10
	CMPQ           R10, R12
	JB             heads

	FILL(const_none, X6, Y6)
	FILL(const_rankMask, X7, Y7)
	FILL(8, X9, Y9)
	VPCMPEQD Y8, Y8, Y8
	XORL     R10, R10

	// Two kinds of links are packed together; that leaves their halves crossed.
links:
	VPSUBD       chains_old5(DI)(R10*4), Y5, Y0
	VPSUBD       chains_old8(DI)(R10*4), Y5, Y1
	VPMINUD      Y6, Y0, Y0
	VPMINUD      Y6, Y1, Y1
	VPACKUSDW    Y1, Y0, Y0
	VPERMQ       $0xd8, Y0, Y0
	VMOVDQU      X0, chains_link5(DI)(R11*2)
	VEXTRACTI128 $1, Y0, chains_link8(DI)(R11*2)
	VMOVDQU      chains_old4(DI)(R10*4), Y2
	VPSLLD       $const_rankBits, Y5, Y3
	VPADDD       Y7, Y3, Y3
	VPSUBD       Y2, Y3, Y3
	VPSRLD       $const_rankBits, Y3, Y3
	VPMINUD      Y6, Y3, Y3
	VPSUBD       Y8, Y2, Y2
	VPAND        Y7, Y2, Y2
	VPACKUSDW    Y2, Y3, Y3
	VPERMQ       $0xd8, Y3, Y3
	VMOVDQU      X3, chains_link4(DI)(R11*2)
	VEXTRACTI128 $1, Y3, chains_rank(DI)(R11*2)
	VPADDD       Y9, Y5, Y5
	ADDQ         $8, R10
	ADDQ         $8, R11
	CMPQ         R10, R12
	JB           links
	VZEROUPPER
	RET
