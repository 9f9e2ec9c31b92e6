//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
)

// A contest is steps that do the same job, taken in turns: A B C A B C. Each
// is compared with the reference, a peer.
type contest struct {
	title     string
	note      string // what the table does not show; may be empty
	steps     []step
	reference string // name of a step
	rounds    int
}

// A result is what a contest's rounds took, by the name of the step.
type result struct {
	contest
	took map[string][]usage
	load []float64 // load average at the beginning of each round
}

func (b *bench) hold(ctx context.Context, c contest) (*result, error) {
	r := &result{contest: c, took: map[string][]usage{}}
	for round := range c.rounds {
		r.load = append(r.load, loadAverage())
		for _, s := range c.steps {
			u, err := measure(ctx, s)
			if err != nil {
				return nil, err
			}
			r.took[s.name] = append(r.took[s.name], u)
			b.say("%s, round %d of %d: %s: %.2f s, %.2f s processor, %d MiB",
				c.title, round+1, c.rounds, s.name, u.wall.Seconds(), u.cpu.Seconds(), u.peak>>20)
		}
	}
	return r, nil
}

// What is read off a usage.
func wall(u usage) float64   { return u.wall.Seconds() }
func cpu(u usage) float64    { return u.cpu.Seconds() }
func server(u usage) float64 { return u.server.Seconds() }
func made(u usage) float64   { return float64(u.made) }

// median returns the median over the rounds of what is read off a step's usage.
func (r *result) median(name string, read func(usage) float64) float64 {
	var all []float64
	for _, u := range r.took[name] {
		all = append(all, read(u))
	}
	return median(all)
}

// ratio returns the median over the rounds of a step's figure divided by
// another's of the same round, so that a machine that is busy for a while
// weighs on both.
func (r *result) ratio(name, other string, read func(usage) float64) float64 {
	var all []float64
	for i, u := range r.took[name] {
		all = append(all, read(u)/read(r.took[other][i]))
	}
	return median(all)
}

// peak returns the highest memory that a step's commands had in any round.
func (r *result) peak(name string) int64 {
	var highest int64
	for _, u := range r.took[name] {
		highest = max(highest, u.peak)
	}
	return highest
}

func (r *result) serverPeak(name string) int64 {
	var highest int64
	for _, u := range r.took[name] {
		highest = max(highest, u.serverPeak)
	}
	return highest
}

// median returns the middle of the values, or the mean of the two in the
// middle; NaN stands for none.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return nan
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// A bar is a limit that Airlock set itself.
type bar struct {
	what         string
	value, limit float64
	unit         string
}

func (b bar) met() bool { return b.value <= b.limit }

func (b bar) String() string {
	verdict := "met"
	if !b.met() {
		verdict = "**not met**"
	}
	return fmt.Sprintf("%s: %.3g%s (bar %.3g%s): %s", b.what, b.value, b.unit, b.limit, b.unit, verdict)
}
