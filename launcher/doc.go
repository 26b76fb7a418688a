// Package launcher starts flakes: it finds the launch plan for the name it was called by, has it compiled
// again when it is stale, and executes the engine with it.
//
// It is what flake-launcher and flake-run consist of, so it stays light: no YAML, no image code, no container
// library. Entry points: Main for the links, Run for flake-run.
package launcher
