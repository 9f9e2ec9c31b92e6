// Command unbundle is the isolated side of Airlock: it proves bundles and loads
// their images.
package main

import (
	"runtime/debug"

	"airlock/internal/cli"
	"airlock/internal/commands"
)

// memory is how many bytes the garbage collector lets the process have before
// it works harder: what is in use at one time stays far below it, and the whole
// below 256 MiB.
const memory = 208 << 20

func main() {
	debug.SetMemoryLimit(memory)
	cli.Main(commands.Classes(), root)
}
