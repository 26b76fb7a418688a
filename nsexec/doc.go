// Package nsexec owns the life cycle of an app's process: how a launcher hands over to an engine, and how an
// app's end becomes our own end.
//
// This root package is light enough for the launcher that every flake link points to; it links no container
// library. The parts that do heavier work are its sub-packages: nsexec/config describes a container,
// nsexec/seccomp compiles filters, nsexec/init is PID 1, nsexec/engine is the only door to libcontainer's
// running part.
//
// It refuses to know about flakes, images, layers and host links.
//
// Entry points: ExecEngine, Status, Exit, ExitCode.
package nsexec
