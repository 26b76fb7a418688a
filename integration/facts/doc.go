// Package facts compares ways to start an app by what the app finds out: one program that tells all it sees (testdata, in C, as
// it must not have a runtime that makes signals and descriptors its own), and what of that may differ. Parse leaves out what
// differs between any two starts; Engines is the closed list of what differs between the engines, Early of what does between
// the launcher's early part and its Go part, and Natively names what a flake does not change at all.
//
// It is imported by tests only. Entry points: Build, Parse, Compare.
package facts
