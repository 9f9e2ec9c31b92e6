// Package e2e tests Airlock from outside: both commands as processes, real
// registries and Docker engines around them, stock tools as witnesses.
//
// The tests of cmd/bundle and cmd/unbundle use it too. [Main] puts both
// commands on the PATH, and [Scripts] runs a folder of scripts in testscript's
// language with the further commands that [Scripts] lists.
//
// Only tests import this package, and it is for Linux only.
package e2e
