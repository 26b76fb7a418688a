// Package initproc is the small static C program around an app, and the way to speak to it.
//
// `make` compiles the C files of this directory to built/init-GOARCH, which is embedded here. The program has two
// roles. Brought up by libcontainer it is PID 1: it loads the filters, forks the app, reaps orphans, forwards signals,
// and reports how the app ended; an engine writes it a Program, gives it one end of a pipe, and reads Reports from the
// other. In the direct engine it is also the process outside, which the launcher turns into: it makes the namespaces,
// starts PID 1 in them, and ends as the app did; nsexec.Direct writes it a list made with Ops.
//
// For kept instances it is also what stays behind (keptops.go, decision 0005 of nsexec).
//
// All are flat lists of operations in host byte order, whose numbers ops.h shares: change them together.
//
// It refuses to know about images and flakes, and anything about Go at run time.
//
// Go does not allow a package to be imported under the name init, hence the longer one.
//
// Entry points: Binary, Sealed, Program, ReadReport, Ops, Blob.
package initproc
