package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
)

// Journal is a folder of our own that remembers, for each file under way, how
// much of it is durable at the other end. What the other end says about a
// file's size is never taken for that: after a cut it may have holes.
type Journal struct{ dir *Dir }

// OpenJournal returns the journal in that folder, which it creates.
func OpenJournal(path string) (*Journal, error) {
	d, err := NewDir(path)
	if err != nil {
		return nil, err
	}
	return &Journal{d}, nil
}

// record is what is known of one file. Its key is all but Durable.
type record struct {
	Place   string `json:"place"`
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Durable int64  `json:"durable"`
}

const maxRecord = 16 << 10

// file is the name of the record's file.
func (r record) file() string {
	r.Durable = 0
	sum := sha256.Sum256(r.bytes())
	return hex.EncodeToString(sum[:16]) + ".json"
}

func (r record) bytes() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return append(b, '\n')
}

// durable returns how much of the file is durable: 0 if nothing is known, or if
// what is known cannot be read. Starting over is always right.
func (j *Journal) durable(r record) int64 {
	if j == nil {
		return 0
	}
	text, err := readSmall(filepath.Join(j.dir.place.path, r.file()), maxRecord)
	if err != nil {
		return 0
	}
	var got record
	if json.Unmarshal(text, &got) != nil || !bytes.Equal(got.bytes(), text) {
		return 0
	}
	r.Durable = got.Durable
	if got != r || r.Durable < 0 || r.Durable > r.Size {
		return 0
	}
	return r.Durable
}

// note remembers that so much is durable.
func (j *Journal) note(r record, upTo int64) error {
	if j == nil {
		return nil
	}
	r.Durable = upTo
	if err := j.dir.Put(r.file(), r.bytes()); err != nil {
		return fmt.Errorf("noting how far %q has come: %w", r.Name, err)
	}
	return nil
}
