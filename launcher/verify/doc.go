// Package verify looks whether registered flakes are whole: registration, link, images, plan, and the files of the host
// that they show. It changes nothing but derived data, and compiles a plan anew when asked to repair.
//
// Entry point: Verifier.Flake.
package verify
