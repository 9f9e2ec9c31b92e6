//go:build linux

package realtest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// suite is what [Main] shares among the tests of a binary. The testing package
// has no scope between a test and the process, so this is the package's one
// variable; only Main sets it.
var suite atomic.Pointer[sharedEngines]

type sharedEngines struct {
	mu      sync.Mutex
	engines map[generation]*engine
}

// Main runs the tests of a package whose tests share Docker engines:
//
//	func TestMain(m *testing.M) { realtest.Main(m) }
//
// Under it, [Docker] and [DockerContainerd] start one engine each, when first
// called, for the whole test binary, and Main ends them after the last test. It
// panics if an engine leaves a process, a mount or a file.
func Main(m *testing.M) {
	code := Sharing(m).Run()
	if code == leftOver {
		panic("realtest: shared engines left something behind, see above")
	}
	// With Go 1.15 and later the process exits with the code of m.Run.
}

// leftOver is the exit code of [Runner.Run] when the tests passed and an engine
// left something behind.
const leftOver = 97

// A Runner runs tests that share engines.
type Runner struct{ tests interface{ Run() int } }

// Sharing is for a TestMain that must hand its tests to somebody else, such as
// testscript.Main; otherwise use [Main].
func Sharing(tests interface{ Run() int }) Runner { return Runner{tests} }

// Run runs the tests and then ends the shared engines. It returns the tests'
// exit code, or 97 if they passed and an engine left something behind.
func (r Runner) Run() int {
	s := &sharedEngines{engines: map[generation]*engine{}}
	suite.Store(s)
	defer suite.Store(nil)
	code := r.tests.Run()
	if err := s.end(); err != nil {
		fmt.Printf("realtest: ending shared engines: %v\n", err)
		if code == 0 {
			code = leftOver
		}
	}
	return code
}

// engine returns the engine of that generation, started if it is the first time.
func (s *sharedEngines) engine(g generation) (*engine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.engines[g]; e != nil {
		return e, nil
	}
	e, err := startEngine(g)
	if err == nil {
		s.engines[g] = e
	}
	return e, err
}

func (s *sharedEngines) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, e := range s.engines {
		errs = append(errs, e.place.end())
	}
	return errors.Join(errs...)
}
