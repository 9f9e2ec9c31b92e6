//go:build linux

package main

import (
	"testing"

	"airlock/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m, map[string]func(){"bundle": main}) }

// TestScripts runs the sessions of the connected side.
func TestScripts(t *testing.T) { e2e.Scripts(t, "testdata/script") }

func TestHelp(t *testing.T) { e2e.Help(t, root) }
