// Package selftest compares how a program runs through a flake with how it runs natively: it starts one probe both ways,
// under the same conditions, and holds the results against each other field by field.
//
// What differs on purpose is one closed table, Differences, with a reason for each; whatever else differs is a fault, or
// what the flake's own options ask for.
//
// The probe is a small static program that `make` compiles from probe/*.c to built/probe-GOARCH, so that it runs in any
// image; a bind shows it in the flake's root. Both ways go through the real thing: the launcher, executed as a caller's
// shell would.
//
// Entry points: Derive, Test.Run, Differences.
package selftest
