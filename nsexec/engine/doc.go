// Package engine runs a described container through libcontainer. It is the only door to libcontainer's running
// part, and is linked by flake-engine alone.
//
// It owns what libcontainer needs around itself: a state directory that is swept after a crash, the decision
// whether a cgroup is touched at all, the descriptors that nsexec/init gets, and the forwarding of signals.
//
// It refuses to mount the root (its caller has done so, in the mount namespace of the calling thread) and to
// touch the app's standard input and output, which go from the caller to the app as they are.
//
// Every program that calls Run must call Hook first in an init function: libcontainer re-executes it.
//
// Entry points: Hook, Run.
package engine
