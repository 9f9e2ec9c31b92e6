package journey

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"airlock/internal/manifest"
	"airlock/internal/media"
)

// ErrTooSmall is wrapped where a stick has no room for a single volume.
var ErrTooSmall = errors.New("not even one more volume fits")

// Plan says which of several sticks takes which volumes of a bundle.
type Plan struct {
	Sticks []Part `json:"sticks"`
}

// Part is what one stick takes.
type Part struct {
	Files []string `json:"files"`
	Begun bool     `json:"begun"` // a stick has been marked as this one
	Done  bool     `json:"done"`  // written and read back
}

// Fits tells whether files of these sizes fit a stick together.
type Fits func(sizes []int64) error

// Next returns the number, from 1, of the first stick that is not done, 0 if
// all are.
func (p *Plan) Next() int {
	return 1 + slices.IndexFunc(p.Sticks, func(s Part) bool { return !s.Done })
}

// Stick returns what the stick of that number is told of itself.
func (p *Plan) Stick(number int) media.Stick {
	return media.Stick{Number: number, Count: len(p.Sticks), Files: p.Sticks[number-1].Files}
}

// PlanSticks spreads the bundle's volumes, in their order, over as few sticks
// as can be, each of which fits tells of.
func (b *Bundle) PlanSticks(fits Fits) (*Plan, error) {
	p := &Plan{}
	return p, b.Replan(p, fits)
}

// Replan leaves the sticks that were begun as they are and spreads all other
// volumes anew over the others, in turn as many as rooms says fit each; all
// sticks behind the last of the rooms, of which there is one at least, are like
// it. The plan is not changed by an error.
func (b *Bundle) Replan(p *Plan, rooms ...Fits) error {
	taken := map[string]bool{}
	var sticks []Part
	for _, s := range p.Sticks {
		if !s.Begun && !s.Done {
			s = Part{}
		}
		for _, name := range s.Files {
			taken[name] = true
		}
		sticks = append(sticks, s)
	}
	left := slices.DeleteFunc(slices.Clone(b.large()), func(v manifest.Volume) bool { return taken[v.Name] })
	for number := 0; len(left) > 0; number++ {
		if number == len(sticks) {
			sticks = append(sticks, Part{})
		}
		if sticks[number].Files != nil {
			continue
		}
		n, err := fill(left, rooms[0])
		if err != nil {
			return fmt.Errorf("stick %d: %w", number+1, err)
		}
		for _, v := range left[:n] {
			sticks[number].Files = append(sticks[number].Files, v.Name)
		}
		left, rooms = left[n:], rooms[min(1, len(rooms)-1):]
	}
	p.Sticks = slices.DeleteFunc(sticks, func(s Part) bool { return len(s.Files) == 0 })
	return nil
}

// fill returns how many of the volumes fit a stick.
func fill(volumes []manifest.Volume, fits Fits) (int, error) {
	var sizes []int64
	for i, v := range volumes {
		sizes = append(sizes, v.Size)
		if err := fits(sizes); err != nil {
			if i == 0 {
				return 0, fmt.Errorf("%w: %w", ErrTooSmall, err)
			}
			return i, nil
		}
	}
	return len(volumes), nil
}

// Adopt finds a stick that says which one it is in the plan, and returns its
// number there. A stick of another plan for the bundle becomes part of this
// one with those volumes that no stick of it has yet, in the place that it
// names if that is free.
func (b *Bundle) Adopt(p *Plan, stick *media.Stick, fits Fits) (int, error) {
	if number := p.find(stick.Files); number > 0 {
		return number, nil
	}
	free := map[string]bool{}
	for _, v := range b.large() {
		free[v.Name] = true
	}
	for _, s := range p.Sticks {
		for _, name := range s.Files {
			free[name] = free[name] && !s.Begun && !s.Done
		}
	}
	files := slices.DeleteFunc(slices.Clone(stick.Files), func(name string) bool { return !free[name] })
	if len(files) == 0 {
		return 0, fmt.Errorf("it says that it is %s, and all that it has is on other sticks already", stick)
	}
	next := &Plan{Sticks: slices.Clone(p.Sticks)}
	for len(next.Sticks) < stick.Number {
		next.Sticks = append(next.Sticks, Part{})
	}
	mine := Part{Files: files, Begun: true}
	if at := &next.Sticks[stick.Number-1]; at.Begun || at.Done {
		next.Sticks = append(next.Sticks, mine)
	} else {
		*at = mine
	}
	if err := b.Replan(next, fits); err != nil {
		return 0, err
	}
	*p = *next
	return p.find(files), nil
}

// find returns the number of the stick that has just these files, 0 if none has.
func (p *Plan) find(files []string) int {
	return 1 + slices.IndexFunc(p.Sticks, func(s Part) bool { return slices.Equal(s.Files, files) })
}

// Sizes returns the sizes of these volumes of the bundle.
func (b *Bundle) Sizes(names []string) []int64 {
	var all []int64
	for _, v := range b.large() {
		if slices.Contains(names, v.Name) {
			all = append(all, v.Size)
		}
	}
	return all
}

// SmallSizes returns the sizes of what every stick has.
func (b *Bundle) SmallSizes() ([]int64, error) {
	all := []int64{int64(len(b.Texts.Text()))}
	for _, name := range b.small() {
		info, err := fs.Stat(b.Files, name)
		if err != nil {
			return nil, err
		}
		all = append(all, info.Size())
	}
	if b.Texts.Manifest.Parity == nil {
		return all, nil
	}
	texts, err := b.texts()
	if err != nil {
		return nil, err
	}
	return append(all, int64(len(manifest.MarshalCopy(texts)))), nil
}

// Covers tells whether the plan has every volume of the bundle just once, and
// nothing else.
func (b *Bundle) Covers(p *Plan) bool {
	planned := map[string]int{}
	for _, s := range p.Sticks {
		for _, name := range s.Files {
			planned[name]++
		}
		if len(s.Files) == 0 {
			return false
		}
	}
	for _, v := range b.large() {
		if planned[v.Name] != 1 {
			return false
		}
		delete(planned, v.Name)
	}
	return len(planned) == 0
}
