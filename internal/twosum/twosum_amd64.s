#include "textflag.h"

// The SHA extensions keep a state as two registers, ABEF and CDGH, the first
// letter on top. LOAD and STORE change between that and eight words in order.

#define LOAD(h, abef, cdgh) \
	MOVOU   0(h), X9         \
	MOVOU   16(h), cdgh      \
	PSHUFD  $0xB1, X9, X9    \
	PSHUFD  $0x1B, cdgh, cdgh \
	MOVO    X9, abef         \
	PALIGNR $8, cdgh, abef   \
	PBLENDW $0xF0, X9, cdgh

#define STORE(h, abef, cdgh) \
	PSHUFD  $0x1B, abef, X9    \
	PSHUFD  $0xB1, cdgh, cdgh  \
	MOVO    X9, abef           \
	PBLENDW $0xF0, cdgh, abef  \
	PALIGNR $8, X9, cdgh       \
	MOVOU   abef, 0(h)         \
	MOVOU   cdgh, 16(h)

// ROUNDS does four rounds on both states with the words m and the constants at k.
#define ROUNDS(k, m) \
	MOVOU       k(AX), X0     \
	PADDL       m, X0         \
	SHA256RNDS2 X0, X1, X2    \
	SHA256RNDS2 X0, X3, X4    \
	PSHUFD      $0x0E, X0, X0 \
	SHA256RNDS2 X0, X2, X1    \
	SHA256RNDS2 X0, X4, X3

// SCHEDULE replaces m0, the oldest of the last sixteen words, by the next four.
#define SCHEDULE(m0, m1, m2, m3) \
	SHA256MSG1 m1, m0     \
	MOVO       m3, X9     \
	PALIGNR    $4, m2, X9 \
	PADDL      X9, m0     \
	SHA256MSG2 m3, m0

#define WORDS(at, m) \
	MOVOU  at(SI), m \
	PSHUFB X10, m

// func compress(a, b *[8]uint32, blocks []byte)
TEXT ·compress(SB), NOSPLIT, $0-40
	MOVQ a+0(FP), R8
	MOVQ b+8(FP), R9
	MOVQ blocks_base+16(FP), SI
	MOVQ blocks_len+24(FP), DX
	SHRQ $6, DX
	JZ   done
	LEAQ constants<>(SB), AX
	MOVOU swap<>(SB), X10
	LOAD(R8, X1, X2)
	LOAD(R9, X3, X4)

loop:
	MOVO X1, X11
	MOVO X2, X12
	MOVO X3, X13
	MOVO X4, X14
	WORDS(0, X5)
	WORDS(16, X6)
	WORDS(32, X7)
	WORDS(48, X8)
	ROUNDS(0, X5)
	SCHEDULE(X5, X6, X7, X8)
	ROUNDS(16, X6)
	SCHEDULE(X6, X7, X8, X5)
	ROUNDS(32, X7)
	SCHEDULE(X7, X8, X5, X6)
	ROUNDS(48, X8)
	SCHEDULE(X8, X5, X6, X7)
	ROUNDS(64, X5)
	SCHEDULE(X5, X6, X7, X8)
	ROUNDS(80, X6)
	SCHEDULE(X6, X7, X8, X5)
	ROUNDS(96, X7)
	SCHEDULE(X7, X8, X5, X6)
	ROUNDS(112, X8)
	SCHEDULE(X8, X5, X6, X7)
	ROUNDS(128, X5)
	SCHEDULE(X5, X6, X7, X8)
	ROUNDS(144, X6)
	SCHEDULE(X6, X7, X8, X5)
	ROUNDS(160, X7)
	SCHEDULE(X7, X8, X5, X6)
	ROUNDS(176, X8)
	SCHEDULE(X8, X5, X6, X7)
	ROUNDS(192, X5)
	ROUNDS(208, X6)
	ROUNDS(224, X7)
	ROUNDS(240, X8)
	PADDL X11, X1
	PADDL X12, X2
	PADDL X13, X3
	PADDL X14, X4
	ADDQ  $64, SI
	DECQ  DX
	JNZ   loop
	STORE(R8, X1, X2)
	STORE(R9, X3, X4)

done:
	RET

// ROUNDS3 is ROUNDS on the state in X11 and X12 too.
#define ROUNDS3(k, m) \
	MOVOU       k(AX), X0     \
	PADDL       m, X0         \
	SHA256RNDS2 X0, X1, X2    \
	SHA256RNDS2 X0, X3, X4    \
	SHA256RNDS2 X0, X11, X12  \
	PSHUFD      $0x0E, X0, X0 \
	SHA256RNDS2 X0, X2, X1    \
	SHA256RNDS2 X0, X4, X3    \
	SHA256RNDS2 X0, X12, X11

// RESTORE adds what was kept at an offset from the stack pointer.
#define RESTORE(at, x) \
	MOVOU at(SP), X9 \
	PADDL X9, x

// func compress3(a, b, c *[8]uint32, blocks []byte)
TEXT ·compress3(SB), NOSPLIT, $64-48
	MOVQ a+0(FP), R8
	MOVQ b+8(FP), R9
	MOVQ c+16(FP), R10
	MOVQ blocks_base+24(FP), SI
	MOVQ blocks_len+32(FP), DX
	SHRQ $6, DX
	JZ   done3
	LEAQ constants<>(SB), AX
	MOVOU swap<>(SB), X10
	LOAD(R8, X1, X2)
	LOAD(R9, X3, X4)
	LOAD(R10, X11, X12)

loop3:
	MOVOU X1, 0(SP)
	MOVOU X2, 16(SP)
	MOVOU X3, 32(SP)
	MOVOU X4, 48(SP)
	MOVO X11, X13
	MOVO X12, X14
	WORDS(0, X5)
	WORDS(16, X6)
	WORDS(32, X7)
	WORDS(48, X8)
	ROUNDS3(0, X5)
	SCHEDULE(X5, X6, X7, X8)
	ROUNDS3(16, X6)
	SCHEDULE(X6, X7, X8, X5)
	ROUNDS3(32, X7)
	SCHEDULE(X7, X8, X5, X6)
	ROUNDS3(48, X8)
	SCHEDULE(X8, X5, X6, X7)
	ROUNDS3(64, X5)
	SCHEDULE(X5, X6, X7, X8)
	ROUNDS3(80, X6)
	SCHEDULE(X6, X7, X8, X5)
	ROUNDS3(96, X7)
	SCHEDULE(X7, X8, X5, X6)
	ROUNDS3(112, X8)
	SCHEDULE(X8, X5, X6, X7)
	ROUNDS3(128, X5)
	SCHEDULE(X5, X6, X7, X8)
	ROUNDS3(144, X6)
	SCHEDULE(X6, X7, X8, X5)
	ROUNDS3(160, X7)
	SCHEDULE(X7, X8, X5, X6)
	ROUNDS3(176, X8)
	SCHEDULE(X8, X5, X6, X7)
	ROUNDS3(192, X5)
	ROUNDS3(208, X6)
	ROUNDS3(224, X7)
	ROUNDS3(240, X8)
	RESTORE(0, X1)
	RESTORE(16, X2)
	RESTORE(32, X3)
	RESTORE(48, X4)
	PADDL X13, X11
	PADDL X14, X12
	ADDQ  $64, SI
	DECQ  DX
	JNZ   loop3
	STORE(R8, X1, X2)
	STORE(R9, X3, X4)
	STORE(R10, X11, X12)

done3:
	RET

// swap makes big-endian words of 16 bytes.
DATA swap<>+0(SB)/8, $0x0405060700010203
DATA swap<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL swap<>(SB), RODATA|NOPTR, $16

// K of FIPS 180-4, section 4.2.2.
DATA constants<>+0(SB)/8, $0x71374491428a2f98
DATA constants<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA constants<>+16(SB)/8, $0x59f111f13956c25b
DATA constants<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA constants<>+32(SB)/8, $0x12835b01d807aa98
DATA constants<>+40(SB)/8, $0x550c7dc3243185be
DATA constants<>+48(SB)/8, $0x80deb1fe72be5d74
DATA constants<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA constants<>+64(SB)/8, $0xefbe4786e49b69c1
DATA constants<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA constants<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA constants<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA constants<>+96(SB)/8, $0xa831c66d983e5152
DATA constants<>+104(SB)/8, $0xbf597fc7b00327c8
DATA constants<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA constants<>+120(SB)/8, $0x1429296706ca6351
DATA constants<>+128(SB)/8, $0x2e1b213827b70a85
DATA constants<>+136(SB)/8, $0x53380d134d2c6dfc
DATA constants<>+144(SB)/8, $0x766a0abb650a7354
DATA constants<>+152(SB)/8, $0x92722c8581c2c92e
DATA constants<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA constants<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA constants<>+176(SB)/8, $0xd6990624d192e819
DATA constants<>+184(SB)/8, $0x106aa070f40e3585
DATA constants<>+192(SB)/8, $0x1e376c0819a4c116
DATA constants<>+200(SB)/8, $0x34b0bcb52748774c
DATA constants<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA constants<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA constants<>+224(SB)/8, $0x78a5636f748f82ee
DATA constants<>+232(SB)/8, $0x8cc7020884c87814
DATA constants<>+240(SB)/8, $0xa4506ceb90befffa
DATA constants<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL constants<>(SB), RODATA|NOPTR, $256
