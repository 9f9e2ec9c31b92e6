package main

import (
	"strconv"
	"strings"

	"airlock/internal/cli"
	"airlock/internal/commands"
	"airlock/internal/transfer"
)

// removableParity is how much parity a bundle gets on removable media, in per
// cent: flash loses whole erase blocks of some MiB.
const removableParity = 5

// parityPercent reads the flag: a whole number of per cent up to 100.
func parityPercent(flag, out string) (int, error) {
	if flag == "" {
		if isTar(out) || commands.IsURL(out) {
			return 0, nil
		}
		medium, err := transfer.MediumOf(out)
		if err != nil || !medium.Removable {
			return 0, err
		}
		return removableParity, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(flag, "%"))
	if err != nil || n < 0 || n > 100 {
		return 0, cli.Usagef("--parity %q: want 0%% to 100%%", flag)
	}
	return n, nil
}
