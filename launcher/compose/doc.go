// Package compose starts an app through the libcontainer engine: it puts together what overlay, hostlink and
// nsexec each do on their own, which never import each other.
//
// It owns the order of a start and the private mount namespace in which the root is built. It is linked by
// flake-engine alone, as it drags in libcontainer.
//
// It refuses to decide anything: a Job holds plain values that a plan has fixed.
//
// Entry points: Run, and RunPlan for a plan on a descriptor. Main threads: see Run.
package compose
