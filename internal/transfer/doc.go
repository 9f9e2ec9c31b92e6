// Package transfer moves named files to and from a mounted disk, a tar stream
// or an SFTP server, so that they are durable, resumable and read back.
//
// It knows names and bytes only. A set of files is flat: no folders. The
// package promises nothing about who wrote a file that it reads: that is for
// the layers above, which check every byte against signed hashes.
//
// Durable means: when Close, Put or Sync has returned nil, the bytes are with
// the medium (fsync of the file and of its folder), as far as the medium is
// honest about it. ReadBack is for those that are not.
package transfer
