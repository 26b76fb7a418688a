// Package run is flake-run: its grammar (kong) and nothing else; the start is package launcher's.
// Entry point: Main.
package run
