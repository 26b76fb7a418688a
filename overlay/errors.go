package overlay

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

var (
	// ErrLayerGone says that a layer is not there, or was removed while it was being mounted.
	ErrLayerGone = errors.New("layer is gone")
	// ErrScratchBusy says that another mount uses the writable directory.
	ErrScratchBusy = errors.New("writable directory is in use")
)

// LayerError is about one layer's directory.
type LayerError struct {
	Dir string
	Err error
}

func (e *LayerError) Error() string { return fmt.Sprintf("open layer %q: %v", e.Dir, e.Err) }

// Unwrap gives the cause.
func (e *LayerError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *LayerError) Remedy() string {
	switch {
	case errors.Is(e.Err, unix.EACCES):
		return "let the store's owner make it readable, or use a store of your own"
	case errors.Is(e.Err, unix.EMFILE):
		return "raise the limit for open files (ulimit -n)"
	}
	return "pull the image again"
}

// OverlapError says that of two layers one lies inside the other, or that both are the same.
type OverlapError struct {
	Outer, Inner string
	Err          error
}

func (e *OverlapError) Error() string {
	if e.Outer == e.Inner {
		return fmt.Sprintf("mount root: layer %q is named twice", e.Outer)
	}
	return fmt.Sprintf("mount root: layer %q lies inside layer %q", e.Inner, e.Outer)
}

// Unwrap gives the cause.
func (e *OverlapError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *OverlapError) Remedy() string {
	return "name each image once, and keep stores out of image layers"
}

// SpecError says that a Spec can't be mounted whatever the kernel.
type SpecError struct {
	Field  string
	Reason string
}

func (e *SpecError) Error() string { return fmt.Sprintf("describe root: %s: %s", e.Field, e.Reason) }

// FeatureError says what the kernel lacks.
type FeatureError struct {
	Feature string
	Minimum string // kernel release
	Hint    string
	Err     error
}

func (e *FeatureError) Error() string {
	return fmt.Sprintf("%s not supported (requires >= %s): %v", e.Feature, e.Minimum, e.Err)
}

// Unwrap gives the cause.
func (e *FeatureError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *FeatureError) Remedy() string { return e.Hint }

// MountError is a system call on mounts that failed.
type MountError struct {
	Op     string // fsopen, fsconfig, mount, move_mount …
	Source string
	Target string
	Flags  uintptr // of mount(2)
	Data   string
	Log    []string // what the kernel said about it
	Err    error
}

func (e *MountError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Op, e.Source)
	if e.Target != "" {
		fmt.Fprintf(&b, " on %q", e.Target)
	}
	if e.Flags != 0 {
		fmt.Fprintf(&b, " flags %s", flagNames(e.Flags))
	}
	if e.Data != "" {
		fmt.Fprintf(&b, " data %q", e.Data)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if len(e.Log) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(e.Log, "; "))
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *MountError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *MountError) Remedy() string {
	switch {
	case errors.Is(e.Err, unix.EPERM):
		return "run as root"
	case errors.Is(e.Err, unix.ENOSPC), errors.Is(e.Err, unix.ENOMEM):
		return "free memory, or disk space below the store"
	}
	return "check that the store lies on a local file system that is no overlay itself"
}

var mountFlags = []struct {
	flag uintptr
	name string
}{
	{unix.MS_RDONLY, "ro"}, {unix.MS_NOSUID, "nosuid"}, {unix.MS_NODEV, "nodev"}, {unix.MS_NOEXEC, "noexec"},
	{unix.MS_BIND, "bind"}, {unix.MS_REC, "rec"}, {unix.MS_REMOUNT, "remount"},
}

func flagNames(flags uintptr) string {
	var out []string
	for _, f := range mountFlags {
		if flags&f.flag != 0 {
			out = append(out, f.name)
			flags &^= f.flag
		}
	}
	if flags != 0 {
		out = append(out, fmt.Sprintf("%#x", flags))
	}
	return strings.Join(out, ",")
}
