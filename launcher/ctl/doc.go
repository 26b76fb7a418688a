// Package ctl is flake-ctl: its grammar (kong), and for each command the few calls that do it.
//
// It decides nothing that another package owns. Entry point: Main.
package ctl
