package inspect

import (
	"io/fs"
	"time"

	"airlock/internal/manifest"
	"airlock/internal/trust"
	"airlock/internal/volume"
)

// maxListed bounds each list of a Damage.
const maxListed = 1000

// Damage is what is wrong with the files of a bundle whose texts are proven, for
// programs.
type Damage struct {
	Repairable    bool     `json:"repairable"`              // all of it can be made again from what is here
	Contradictory bool     `json:"contradictory,omitempty"` // the signed texts contradict each other: nothing can mend that
	Missing       []string `json:"missing,omitempty"`       // volumes and parity files
	Cut           []string `json:"cut,omitempty"`           // volumes and parity files of another size than was signed
	Texts         []string `json:"texts,omitempty"`         // small files that are missing or not what was signed
	MoreFiles     int      `json:"moreFiles,omitempty"`     // that these lists leave out
	Bad           Blocks   `json:"bad"`                     // those of missing and cut files among them
	Lost          Blocks   `json:"lost"`                    // those of Bad in volumes that cannot be made again
}

// Blocks is blocks of volumes and parity files.
type Blocks struct {
	Count int          `json:"count"`
	Runs  []volume.Run `json:"runs,omitempty"`
	More  int          `json:"more,omitempty"` // blocks that are in none of the runs
}

// DamageOf returns what a survey has found, bounded.
func DamageOf(d *volume.Damage) *Damage {
	out := &Damage{
		Repairable: d.Repairable(), Contradictory: d.Contradictory(),
		Missing: d.Files, Cut: d.Cut, Texts: d.Texts,
		Bad: Blocks{Count: len(d.Bad)}, Lost: Blocks{Count: len(d.Lost)},
	}
	for _, list := range []*[]string{&out.Missing, &out.Cut, &out.Texts} {
		most := min(len(*list), maxListed)
		out.MoreFiles += len(*list) - most
		*list = (*list)[:most]
	}
	out.Bad.Runs, out.Bad.More = d.Runs(d.Bad, maxListed)
	out.Lost.Runs, out.Lost.More = d.Runs(d.Lost, maxListed)
	return out
}

// Damaged reports on a bundle whose texts are proven, but whose files are not
// what was signed. What is missing is called elsewhere only where the place says
// that it is one of several sticks.
func Damaged(fsys fs.FS, allowed *trust.AllowedSigners, at time.Time, d *volume.Damage) (*Report, error) {
	v, err := manifest.Open(fsys, allowed, at)
	if err != nil {
		return nil, err
	}
	r := of(v)
	r.Damage = DamageOf(d)
	if err := r.look(fsys); err != nil {
		return nil, err
	}
	if r.Stick == "" {
		r.Here, r.Elsewhere = nil, nil
	}
	return r, nil
}
