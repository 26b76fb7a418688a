package hostlink

import (
	"errors"
	"fmt"
	"syscall"
)

// LimitError reports a manifest that is larger than anything an image builder
// would write.
type LimitError struct {
	What  string // "bytes" or "lines"
	Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("read manifest: more than %d %s", e.Limit, e.What)
}

// Remedy tells the user what to do about it.
func (e *LimitError) Remedy() string {
	return "rebuild the image: its list of host files is no list of removed files"
}

// ManifestError reports content that can't be a manifest.
type ManifestError struct {
	Line   int // counted from 1; 0: it is no matter of a line
	Reason string
}

func (e *ManifestError) Error() string {
	if e.Line == 0 {
		return "read manifest: " + e.Reason
	}
	return fmt.Sprintf("read manifest: line %d: %s", e.Line, e.Reason)
}

// Remedy tells the user what to do about it.
func (e *ManifestError) Remedy() string {
	return "rebuild the image: the file is damaged or no list of host files"
}

// PatternError reports a keep or drop pattern that can't be understood.
type PatternError struct {
	Pattern string
	Reason  string
}

func (e *PatternError) Error() string {
	return fmt.Sprintf("read pattern %q: %s", e.Pattern, e.Reason)
}

// Remedy tells the user what to do about it.
func (e *PatternError) Remedy() string {
	return `write paths relative to /, with * ? [a-z] inside a name and ** for any number of directories, e.g. "usr/share/doc/**"`
}

// SourceGoneError reports a host file that is not what the plan was made for:
// removed, replaced by another type, or reached through a new symlink. The
// plan has to be compiled again.
type SourceGoneError struct {
	Source string
	Target string
	Err    error // what opening it said; nil if the type differs
}

func (e *SourceGoneError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("link host file %q: is of another type than before", e.Source)
	}
	return fmt.Sprintf("link host file %q: %v", e.Source, e.Err)
}

func (e *SourceGoneError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *SourceGoneError) Remedy() string {
	return "start it again: the host's files changed since its launch plan was made"
}

// MountError reports a link that could not be made.
type MountError struct {
	Op     string // the system call
	Source string
	Target string
	Err    error
}

func (e *MountError) Error() string {
	return fmt.Sprintf("bind %q on %q: %s: %v", e.Source, e.Target, e.Op, e.Err)
}

func (e *MountError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *MountError) Remedy() string {
	switch {
	case errors.Is(e.Err, syscall.ENOSPC):
		return "raise the limit of mounts: sysctl fs.mount-max"
	case errors.Is(e.Err, syscall.EACCES):
		return "allow this user to reach the host file, or drop it from the flake's host files"
	case errors.Is(e.Err, syscall.EPERM):
		return "run it as root: mounting is not permitted here"
	case errors.Is(e.Err, syscall.ENOENT), errors.Is(e.Err, syscall.ENOTDIR), errors.Is(e.Err, syscall.ELOOP):
		return "compile the launch plan again: the app's root has no place for this file"
	}
	return "see the kernel's log: dmesg"
}

var (
	_ error = (*LimitError)(nil)
	_ error = (*ManifestError)(nil)
	_ error = (*PatternError)(nil)
	_ error = (*SourceGoneError)(nil)
	_ error = (*MountError)(nil)
)
