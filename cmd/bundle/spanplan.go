package main

import (
	"fmt"
	"io/fs"

	"airlock/internal/cli"
	"airlock/internal/human"
	"airlock/internal/journey"
	"airlock/internal/transfer"
)

// number finds out which stick is at a place: the one that it says it is, or
// the first that is not written yet. The plan is made, or made anew, where the
// stick at hand has no room for what it was to take.
func (sp *spanning) number(place string, there fs.FS) (int, error) {
	have, err := sp.bundle.Look(there)
	if err != nil {
		return 0, err
	}
	here, err := sp.roomAt(place, have)
	if err != nil {
		return 0, err
	}
	if sp.room == nil {
		sp.room = here
	}
	plan, before := sp.plan.Plan, len(sp.plan.Sticks)
	if have.Stick != nil {
		number, err := sp.bundle.Adopt(plan, have.Stick, sp.room)
		if err == nil && (before == 0 || len(plan.Sticks) != before) {
			sp.print()
		}
		return number, err
	}
	if plan.Next() == 0 {
		*plan = journey.Plan{} // all sticks are written: this is the first of another set
	}
	number := plan.Next()
	if number > 0 && here(sp.bundle.Sizes(plan.Sticks[number-1].Files)) == nil {
		return number, nil
	}
	if number > 0 {
		plan.Sticks[number-1].Begun = false
	}
	if sp.bundle.Replan(plan, sp.rooms(here)...) != nil { // one of them may be too small, and another be put in
		if err := sp.bundle.Replan(plan, here, sp.room); err != nil {
			return 0, sp.explainSmall(err)
		}
	}
	sp.print()
	return plan.Next(), nil
}

// rooms returns what fits the medium at hand, those that were named with it, and
// any other. What is wrong with one is said when its turn comes.
func (sp *spanning) rooms(here journey.Fits) []journey.Fits {
	all := []journey.Fits{here}
	for _, place := range sp.coming {
		there, err := transfer.OpenDir(place)
		if err != nil {
			continue
		}
		have, err := sp.bundle.Look(there)
		if err != nil || have.Stick != nil {
			continue
		}
		if room, err := sp.roomAt(place, have); err == nil {
			all = append(all, room)
		}
	}
	return append(all, sp.room)
}

func (sp *spanning) explainSmall(err error) error {
	return cli.Hint(err, "make room there, take a larger stick, or make the bundle anew with smaller volumes: bundle create --media SIZE …")
}

// roomAt returns what fits the medium at a place. What is there of the bundle
// already takes no room.
func (sp *spanning) roomAt(place string, have *journey.Holding) (journey.Fits, error) {
	m, err := transfer.MediumOf(place)
	if err != nil {
		return nil, err
	}
	small, err := sp.bundle.SmallSizes()
	if err != nil {
		return nil, err
	}
	m.Free += have.Bytes()
	return func(sizes []int64) error {
		if sp.onto.capacity > 0 && total(sizes)+total(small) > sp.onto.room() {
			return fmt.Errorf("%w: %s in all, and %s has room for %s", transfer.ErrFull, human.Bytes(total(sizes)), sp.onto, human.Bytes(sp.onto.room()))
		}
		return m.Fits(append(sizes[:len(sizes):len(sizes)], small...)...)
	}, nil
}

func total(sizes []int64) int64 {
	var sum int64
	for _, size := range sizes {
		sum += size
	}
	return sum
}

// print prints the plan.
func (sp *spanning) print() {
	plan := sp.plan
	var all int64
	for i, s := range plan.Sticks {
		size := total(sp.bundle.Sizes(s.Files))
		all += size
		state := ""
		if s.Done {
			state = ", written"
		}
		files := s.Files[0]
		if n := len(s.Files); n > 1 {
			files += " to " + s.Files[n-1]
		}
		sp.say("stick %d of %d: %s, %s%s", i+1, len(plan.Sticks), files, human.Bytes(size), state)
	}
	sp.say("%s: %s on %s", sp.bundle.Texts.Manifest.Title(), human.Bytes(all), cli.Count(len(plan.Sticks), "stick"))
}
