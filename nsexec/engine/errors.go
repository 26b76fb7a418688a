package engine

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrNoCgo says that the program was built without the C half of libcontainer.
var ErrNoCgo = errors.New("start container: built without cgo, which libcontainer needs")

// StateError says that the directory for running containers can't be used.
type StateError struct {
	Dir string
	Err error
}

func (e *StateError) Error() string {
	return fmt.Sprintf("prepare state directory %q: %v", e.Dir, e.Err)
}

// Unwrap gives the cause.
func (e *StateError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *StateError) Remedy() string {
	switch {
	case errors.Is(e.Err, syscall.EROFS), errors.Is(e.Err, syscall.ENOSPC):
		return "make room on /run, or mount it writable"
	case errors.Is(e.Err, syscall.EACCES), errors.Is(e.Err, syscall.EPERM):
		return "run as root"
	}
	return "remove the directory, or what stands in its place"
}

// StartError says at which step the container did not come up.
type StartError struct {
	Op  string
	Err error
}

func (e *StartError) Error() string { return fmt.Sprintf("start container: %s: %v", e.Op, e.Err) }

// Unwrap gives the cause.
func (e *StartError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *StartError) Remedy() string {
	switch {
	case errors.Is(e.Err, syscall.EPERM), errors.Is(e.Err, syscall.EACCES):
		return "run as root, outside of other containers"
	case errors.Is(e.Err, syscall.ENOMEM), errors.Is(e.Err, syscall.EAGAIN):
		return "free memory, or raise the limit of processes"
	}
	return "check the flake's options; the kernel's log may tell more"
}
