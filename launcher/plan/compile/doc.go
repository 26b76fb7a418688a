// Package compile makes launch plans: it resolves a flake's images in the store, merges their configs, finds
// the host files they need and describes the container, so that a start has nothing left to decide.
//
// It writes the plan file and the flake's own layer and has no other effect. It is linked by flake-ctl only.
// Entry points: Compiler.Flake, Compiler.AdHoc.
package compile
