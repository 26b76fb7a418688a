// Package nsexec owns the life cycle of an app's process: how a launcher becomes the direct engine or hands over to
// libcontainer's, and how an app's end becomes our own end.
//
// This root package is light enough for the launcher that every flake link points to; it links no container
// library. The parts that do heavier work are its sub-packages: nsexec/config describes a container,
// nsexec/lower turns the description into operations of the direct engine, nsexec/seccomp compiles and merges filters,
// nsexec/init is the small C program that works the operations off and is PID 1, nsexec/engine is the only door to libcontainer's
// running part.
//
// It refuses to know about flakes, images, layers and host links.
//
// Entry points: Direct.Exec, ExecEngine, Status, Exit, ExitCode.
package nsexec
