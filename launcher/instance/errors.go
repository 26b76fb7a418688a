package instance

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// UnsafeError refuses a directory that somebody else could have put there.
type UnsafeError struct{ Path, Reason string }

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("open kept instance %s: %s", e.Path, e.Reason)
}

// Remedy implements the CLI's second line.
func (e *UnsafeError) Remedy() string { return "look who put it there, and remove it" }

// AccessError says why an instance can't be opened or made.
type AccessError struct {
	Op, Path string
	Err      error
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("%s kept instance %s: %v", e.Op, e.Path, e.Err)
}

// Unwrap gives the cause.
func (e *AccessError) Unwrap() error { return e.Err }

// Remedy implements the CLI's second line.
func (e *AccessError) Remedy() string {
	switch {
	case errors.Is(e.Err, unix.EROFS):
		return "a kept instance needs a store that can be written to: start the flake without resume or attach there"
	case errors.Is(e.Err, unix.ENOSPC), errors.Is(e.Err, unix.EDQUOT):
		return "free some space below the store (flake-ctl gc)"
	case errors.Is(e.Err, errDamaged):
		return "flake-ctl reset removes the instance and what is in it"
	}
	return "look at the directory and its owner; flake-ctl reset removes the instance"
}

// StackError refuses to put what an instance has written over other images than it was written over.
type StackError struct{ Name Name }

func (e *StackError) Error() string {
	return fmt.Sprintf("kept instance %s belongs to other images than the flake has now", e.Name)
}

// Remedy implements the CLI's second line.
func (e *StackError) Remedy() string {
	return fmt.Sprintf("flake-ctl reset %s, which removes what was written in it; or register the earlier images again", e.Name)
}

// ElsewhereError says that an instance runs where this process can't see its processes.
type ElsewhereError struct{ Name Name }

func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("kept instance %s runs in another pid namespace", e.Name)
}

// Remedy implements the CLI's second line.
func (e *ElsewhereError) Remedy() string {
	return "use it from there (the host, or another container), or take another instance by @NAME"
}

// BusyError says that an instance does not end, or that what runs there can't be told.
type BusyError struct {
	Name   Name
	Reason string
}

func (e *BusyError) Error() string { return fmt.Sprintf("kept instance %s: %s", e.Name, e.Reason) }

// Remedy implements the CLI's second line.
func (e *BusyError) Remedy() string {
	return fmt.Sprintf("continue or end stopped jobs that use it, then flake-ctl reset %s", e.Name)
}

// NotFoundError says that there is no such instance.
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string { return fmt.Sprintf("no kept instance %q", clip(e.Name)) }

// Remedy implements the CLI's second line.
func (e *NotFoundError) Remedy() string { return "see flake-ctl show" }
