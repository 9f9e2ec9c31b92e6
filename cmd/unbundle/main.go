// Command unbundle is the isolated side of Airlock: it proves bundles and loads
// their images.
package main

import (
	"airlock/internal/cli"
	"airlock/internal/commands"
)

func main() { cli.Main(commands.Classes(), root) }
