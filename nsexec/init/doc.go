// Package initproc is PID 1 of a container and the way to speak to it.
//
// init.c is a static program of a few dozen kilobytes that `make` compiles to built/init-GOARCH; it is embedded
// here. It loads the filters, forks the app, reaps orphans, forwards signals, and reports how the app ended.
// An engine writes it a Program (a flat list of operations), gives it the program and one end of a pipe as
// descriptors, and reads Reports from the other end.
//
// It refuses to know which engine brought it up, and anything about Go at run time: both formats are plain
// structs in host byte order, shared with init.c.
//
// Go does not allow a package to be imported under the name init, hence the longer one.
//
// Entry points: Binary, Program, ReadReport.
package initproc
