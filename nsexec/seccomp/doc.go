// Package seccomp turns the container profile into the filter programs that a launch plan carries.
//
// It owns profile.json (podman's default profile, see decisions/), its meaning, and a second tiny filter
// against input injection into the caller's terminal. A filter is a struct sock_filter array in host byte
// order, ready for seccomp(2).
//
// It refuses to load filters: nsexec/init does that, in every engine.
//
// Entry points: Compile, Terminal, and Script for what runs confined.
package seccomp
