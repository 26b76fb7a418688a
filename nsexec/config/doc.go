// Package config describes a container: from a few plain values to libcontainer's configs.Config, which every
// engine executes.
//
// It owns the default isolation: namespaces, the capabilities that are kept, masked and read-only paths, the
// mounts of /proc, /sys and /dev, and the device nodes. Build is pure: same input, same result, nothing is
// looked up on the host, so it can run when a plan is compiled and its result can be kept as JSON.
//
// It refuses to know about overlays, host links, filters, and the app's command and environment: a Config has no
// Rootfs and no Seccomp; engines fill in the one and hand the other to nsexec/init.
//
// Entry point: Build.
package config
