package gzipexact

import "sync"

const (
	// prefix is how much content is gathered before candidates are tried, one
	// after the other, so that only few encoders are alive at a time.
	prefix = 256 << 10
	// queue is how many steps a candidate may lie behind the inflater.
	queue = 8
)

// A race runs all candidates over the steps of a stream. Its methods are for
// one goroutine.
type race struct {
	tiers   [][]encoderSpec // a tier is tried if none of the one before is left
	held    []step          // until the candidates have been tried on them
	size    int             // content in held
	runners []*runner
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
	if r.started {
		return r.pass(s)
	}
	r.held = append(r.held, s)
	if r.size += len(s.content) + len(s.stream); r.size < prefix {
		return true
	}
	return r.start(false)
}

// start tries the candidates on what is held and keeps those not refuted; of
// a stream that is complete, one is enough.
func (r *race) start(complete bool) bool {
	r.started = true
	for _, tier := range r.tiers {
		for _, spec := range tier {
			c, err := newCandidate(spec)
			if err != nil {
				continue
			}
			for _, s := range r.held {
				if c.advance(s); c.dead {
					break
				}
			}
			if !c.dead {
				r.runners = append(r.runners, run(c))
			}
			if complete && len(r.runners) > 0 {
				break
			}
		}
		if len(r.runners) > 0 {
			break
		}
	}
	r.held = nil
	return len(r.runners) > 0
}

func run(c *candidate) *runner {
	r := &runner{candidate: c, steps: make(chan step, queue), lost: make(chan struct{})}
	r.wait.Go(func() {
		for s := range r.steps {
			if r.advance(s); r.dead {
				r.release()
				close(r.lost)
				return
			}
		}
	})
	return r
}

// pass hands a step to every runner that has not lost.
func (r *race) pass(s step) bool {
	alive := r.runners[:0]
	for _, c := range r.runners {
		select {
		case <-c.lost:
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
		r.start(true)
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
