// Package gzipexact takes a gzip stream apart into its content and a recipe,
// the few bytes that rebuild exactly that stream from that content, and puts
// it together again.
//
// The bytes of a gzip stream follow from its content, from the encoder and its
// settings, and from a few header fields. [Analyze] finds the encoder by
// running the likely ones over the content as it comes out of the stream and
// comparing what they emit with what came in. It returns a [Recipe] only after
// an encoder has reproduced the whole stream, every byte of it; so a recipe is
// proven, not guessed. Whoever stores one may still hash what [Rebuild] makes.
//
// What a recipe can describe: one or more members (RFC 1952), each with any
// header, all from one encoder, each flushed before its end or not, then up to
// 64 KiB of other bytes. Anything else is [ErrUnknown], and the stream is to be
// kept as it is.
//
// An encoder that a recipe names gives the same bytes for ever. All are frozen
// in this repository or in a pinned module, none is the toolchain's, and golden
// hashes hold each of them:
//
//	go1.26 flate            compress/flate of Go 1.9 to 1.26, levels -2 and 0 to 9
//	klauspost 1.20 flate    github.com/klauspost/compress 1.18.2 to 1.20.3, which is
//	                        also compress/flate of Go 1.27, levels 1 to 9
//	klauspost 1.18.0 flate  the same module, 1.15.12 to 1.18.0, level 5
//	pgzip                   github.com/klauspost/pgzip over either, blocks of 1 MiB
//	                        (podman, buildah, skopeo) or 256 KiB (umoci)
//	zlib                    zlib 1.2.11 to 1.3.1 (Python, Java, Jib, Perl), levels 1 to 9,
//	                        memLevel 8 or 9
//	GNU gzip                1.5 and later, also as tar -z runs it, levels 1 to 9
//	pigz                    2.3 and later over zlib, levels 1 to 9, blocks of 128 KiB, of
//	                        several threads or one
//
// Not among them: level 0 of zlib and its kin, pigz -R, -i and -11, and gzip
// --rsyncable, as well as zlib-ng, libdeflate, ISA-L and zlib as Chromium has it.
//
// Memory is bounded, whatever the stream. Analyze takes up to 3 MiB for each
// encoder that is not refuted yet, and up to 24 MiB for what they have not read
// and what has not been written yet. After the first few hundred KiB of a real stream there are at most two
// such encoders; of a stream that does not tell encoders apart there are up to
// 16, then 6 from 4 MiB of content on and 3 from 32 MiB on, the likeliest by what
// the header says. A rebuild takes some 3 MiB, or 6 MiB for each of several
// workers.
package gzipexact
