// Package early says what a start is made of: the direct engine's description (Describe), and the part of a launch plan that
// the launcher starts from before Go's runtime is up (Section). Its reader is the C program in front, which is linked into
// flake-launcher and flake-run and takes only the plainest starts; all others it leaves to package launcher, which does the
// same in Go and has the words for what is wrong. A test compares what the two hand to the engine, byte for byte. See
// nsexec/decisions/0007.
// Entry points: Describe, Section.
package early
