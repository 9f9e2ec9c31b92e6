package load

import (
	"fmt"
	"strings"
)

// PartlyNamedError says that a destination failed while names were set: some of
// them stand for the release now, and the others for what they stood for before,
// but perhaps the one that failed, whose answer may have been lost.
type PartlyNamedError struct {
	Set, Unset []string
	Err        error
}

func (e *PartlyNamedError) Error() string {
	return fmt.Sprintf("%s\nset before that: %s\nnot set: %s", e.Err, strings.Join(e.Set, ", "), strings.Join(e.Unset, ", "))
}

func (e *PartlyNamedError) Unwrap() error { return e.Err }

// PartlyNamed returns err with the plan's names that were set and those that were
// not, or err itself if none was: stands tells what a name stands for now.
func (p *Plan) PartlyNamed(err error, stands func(Name) bool) error {
	all := &PartlyNamedError{Err: err}
	for _, n := range p.Names {
		switch {
		case n.Old == n.New:
		case stands(n):
			all.Set = append(all.Set, n.Name)
		default:
			all.Unset = append(all.Unset, n.Name)
		}
	}
	if len(all.Set) == 0 || len(all.Unset) == 0 {
		return err
	}
	return all
}
