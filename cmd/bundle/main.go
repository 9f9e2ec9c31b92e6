// Command bundle is the connected side of Airlock: it pins, pulls, packs and
// signs container releases.
package main

import (
	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/create"
)

func main() { cli.Main(commands.Classes(create.ErrRejected), root) }
