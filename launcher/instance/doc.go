// Package instance owns the kept instances of flakes: their names, their directories below the store (FORMAT.md of
// package rootfs), and the answer to which of them run.
//
// That answer is a lock of the kernel's, held by a process outside of the instance's container for as long as that
// lives; what is written down (a process id) is believed only while the lock is held. See nsexec/decisions/0005.
//
// It is part of what a start runs through, so it is light, and quick where an instance runs: a dozen system calls.
// Entry points: Enter, Instance.Running, List, Reset.
package instance
