package archive

import "runtime"

// Estimator tells what pages would take in a bundle. It writes nothing, and
// serves one goroutine.
type Estimator struct {
	small *small
	plain *encoder
}

// NewEstimator returns an Estimator of a bundle with bases, which it indexes
// like NewSmallWriter. The bases must outlive it.
func NewEstimator(bases *Bases, memory int) (*Estimator, error) {
	plain, err := newEncoder(runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	s, err := newSmall(nil, bases, memory)
	return &Estimator{small: s, plain: plain}, err
}

// Estimate returns how many bytes a page of at most FrameSize bytes would take
// as a frame.
func (e *Estimator) Estimate(page []byte) (int, error) { return e.small.estimate(e.plain, page) }

// Estimate is an Estimator's for the next page of a small Writer. It changes
// nothing.
func (w *Writer) Estimate(page []byte) (int, error) { return w.small.estimate(w.encoder, page) }

func (s *small) estimate(plain *encoder, page []byte) (int, error) {
	// The address is behind all that is known, so that any of it may be copied.
	plan, err := s.encoder.Match(page, s.next*FrameSize)
	if err != nil {
		return 0, err
	}
	if frame := plan.Marshal(); len(frame) > 0 {
		return len(frame), nil
	}
	data, _ := plain.encode(page)
	return len(data), nil
}
