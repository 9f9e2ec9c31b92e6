//go:build !race

package gzipexact

// underRace says that tests run under the race detector, which makes encoders
// some ten times slower: then they take fewer samples.
const underRace = false
