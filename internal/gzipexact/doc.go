// Package gzipexact takes a gzip stream apart into its content and a recipe,
// the few bytes that rebuild exactly that stream from that content, and puts
// it together again.
//
// The bytes of a gzip stream follow from its content, from the encoder and its
// settings, and from a few header fields. An [Analyzer] finds the encoder by
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
//	go1.9    compress/flate of Go 1.9 to 1.26, levels -2 and 0 to 9
//
// Memory is bounded, whatever the stream: an Analyzer needs some 16 MiB and 3
// MiB for each encoder that has not been refuted yet, a Rebuild some 3 MiB for
// each of its workers.
package gzipexact
