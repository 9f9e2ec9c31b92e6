package gzipexact

import "sync"

const (
	// Candidates are tried on the first content and stream, one after the other,
	// so that only few encoders are alive at a time: once there is as much of
	// both as tells encoders apart, or a lot of either.
	prefixContent = 256 << 10
	prefixStream  = 24 << 10
	prefixMost    = 4 << 20

	// queue is how many steps a candidate may lie behind the inflater.
	queue = 8
)

// Some content tells little about the encoder: what cannot be compressed comes
// out the same at all levels. So all that are not refuted go on, at first.
const (
	runnersFirst = 16
	runnersThen  = 6
	runnersLater = 3
	then         = 4 << 20 // bytes of content
	later        = 32 << 20
)

// A race runs all candidates over the steps of a stream. Its methods are for
// one goroutine.
type race struct {
	tiers   [][]encoderSpec
	confirm func(steps int) // told that a candidate makes the first steps
	held    []step          // until the candidates have been tried on them
	steps   int             // of them, or all
	content int             // bytes of all steps
	stream  int
	runners []*runner // the likeliest first
	started bool
}

// A runner runs one candidate in a goroutine of its own.
type runner struct {
	*candidate
	steps chan step
	lost  chan struct{} // closed once the candidate is dead
	wait  sync.WaitGroup
}

// add hands over a step. It reports whether a candidate is left.
func (r *race) add(s step) bool {
	r.content += len(s.content)
	r.stream += len(s.stream)
	r.steps++
	if r.started {
		return r.pass(s)
	}
	s.shared.to() // for ever: it is not worth the trouble
	r.held = append(r.held, s)
	enough := r.content >= prefixContent && r.stream >= prefixStream
	if !enough && r.content+r.stream < prefixMost {
		return true
	}
	r.start()
	return len(r.runners) > 0
}

// start tries the candidates on what is held and keeps those not refuted: of
// the first tier that has any and of their siblings, where what is held tells
// encoders apart, else of all.
func (r *race) start() {
	r.started = true
	telling := r.stream >= prefixStream && r.stream < r.content-r.content/16
	tried := map[encoderSpec]bool{}
	for _, tier := range r.tiers {
		r.try(tier, tried)
		if telling && len(r.runners) > 0 {
			var found []encoderSpec
			for _, c := range r.runners {
				found = append(found, c.spec)
			}
			r.try(siblings(r.tiers, found), tried)
			break
		}
	}
	r.held = nil
	if len(r.runners) > 0 {
		r.confirm(r.steps)
	}
}

func (r *race) try(specs []encoderSpec, tried map[encoderSpec]bool) {
	for _, spec := range specs {
		if tried[spec] || len(r.runners) == runnersFirst {
			continue
		}
		tried[spec] = true
		if c, ok := r.survives(spec); ok {
			r.runners = append(r.runners, r.run(c))
		}
	}
}

// survives runs a candidate over what is held.
func (r *race) survives(spec encoderSpec) (*candidate, bool) {
	c, err := newCandidate(spec)
	if err != nil {
		return nil, false
	}
	for _, s := range r.held {
		if c.advance(s); c.dead {
			return nil, false
		}
	}
	return c, true
}

// run has a candidate that makes the steps so far go on with those that follow.
func (r *race) run(c *candidate) *runner {
	one := &runner{candidate: c, steps: make(chan step, queue), lost: make(chan struct{})}
	made := r.steps
	one.wait.Go(func() {
		for s := range one.steps {
			one.advance(s)
			s.shared.done()
			if one.dead {
				one.release()
				close(one.lost)
				return
			}
			made++
			r.confirm(made)
		}
	})
	return one
}

// pass hands a step to every runner that has not lost.
func (r *race) pass(s step) bool {
	most := runnersFirst
	switch {
	case r.content > later:
		most = runnersLater
	case r.content > then:
		most = runnersThen
	}
	alive := r.runners[:0]
	for _, c := range r.runners {
		if len(alive) == most {
			close(c.steps)
			continue
		}
		s.shared.to()
		select {
		case <-c.lost:
			s.shared.done()
			continue
		case c.steps <- s:
			alive = append(alive, c)
		}
	}
	r.runners = alive
	return len(alive) > 0
}

// finish ends the race and returns the first candidate that is left; with
// complete false nobody wants to know.
func (r *race) finish(complete bool) (winner encoderSpec, found bool) {
	if !r.started && complete {
		return r.only()
	}
	for _, c := range r.runners {
		close(c.steps)
	}
	for _, c := range r.runners {
		c.wait.Wait()
		if !c.dead && !found {
			winner, found = c.spec, true
		}
	}
	return winner, found
}

// only returns the first candidate that makes the whole stream, all of which
// is held.
func (r *race) only() (winner encoderSpec, found bool) {
	for _, tier := range r.tiers {
		for _, spec := range tier {
			if _, ok := r.survives(spec); ok {
				r.confirm(r.steps)
				return spec, true
			}
		}
	}
	return encoderSpec{}, false
}
