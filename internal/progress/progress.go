// Package progress says what is running and how many bytes of it are done.
// The work reports to a Sink; how it looks is the sink's affair.
package progress

// Sink is told of tasks. It is safe for use by several goroutines.
type Sink interface {
	// Start announces a task of total bytes (negative: unknown) under a name for people.
	Start(name string, total int64) Task
}

// Task is one piece of work under way. It is safe for use by several goroutines.
type Task interface {
	Add(bytes int64) // so many more bytes are done
	Done()           // the task has ended, in whatever way
}

// Discard is a Sink that shows nothing.
var Discard Sink = discard{}

type discard struct{}

func (discard) Start(string, int64) Task { return discard{} }
func (discard) Add(int64)                {}
func (discard) Done()                    {}
