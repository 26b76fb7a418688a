package compile

import "fmt"

// MovedError says that a name now gives another image than the one a flake was registered with.
type MovedError struct{ Name, Pinned, Now string }

func (e *MovedError) Error() string {
	return fmt.Sprintf("image %q is %s now, the flake was registered with %s, which is gone from the store", e.Name, e.Now, e.Pinned)
}

// Remedy implements the CLI's second line.
func (e *MovedError) Remedy() string {
	return "register the flake again with --force to take the new image"
}

// IDsError says why a start can't have more ids than the caller's own. Here says that it could elsewhere.
type IDsError struct {
	Flake, Reason, Fix string
	Here               bool
}

func (e *IDsError) Error() string { return fmt.Sprintf("flake %q: ids: range: %s", e.Flake, e.Reason) }

// Remedy implements the CLI's second line.
func (e *IDsError) Remedy() string { return e.Fix }

// TargetError says why a flake's command can't be started. Missing tells a command that is not there from one
// that can't be executed.
type TargetError struct {
	Flake, Target, Reason, Fix string
	Missing                    bool
}

func (e *TargetError) Error() string {
	return fmt.Sprintf("flake %q: target %s %s", e.Flake, e.Target, e.Reason)
}

// Remedy implements the CLI's second line.
func (e *TargetError) Remedy() string { return e.Fix }

// StackError says why images can't be used together.
type StackError struct{ Flake, Reason, Fix string }

func (e *StackError) Error() string { return fmt.Sprintf("flake %q: %s", e.Flake, e.Reason) }

// Remedy implements the CLI's second line.
func (e *StackError) Remedy() string { return e.Fix }

// RunAsError says why an ordinary user can't start a flake as root.
type RunAsError struct{ Flake, Reason, Fix string }

func (e *RunAsError) Error() string {
	return fmt.Sprintf("flake %q: runas: root: %s", e.Flake, e.Reason)
}

// Remedy implements the CLI's second line.
func (e *RunAsError) Remedy() string { return e.Fix }

// NoStoreError says that a flake keeps something in its caller's own store, who has none that can be written to.
type NoStoreError struct{ Flake, Reason string }

func (e *NoStoreError) Error() string {
	return fmt.Sprintf("flake %q: %s, and you have no store that can be written to", e.Flake, e.Reason)
}

// Remedy implements the CLI's second line.
func (e *NoStoreError) Remedy() string {
	return "let FLAKES_ROOT, XDG_DATA_HOME or HOME name a directory that you can write to"
}

// AccountsError says that an image's file of users or groups can't be read.
type AccountsError struct {
	Path string
	Err  error
}

func (e *AccountsError) Error() string { return fmt.Sprintf("read %s of the image: %v", e.Path, e.Err) }

// Unwrap gives the cause.
func (e *AccountsError) Unwrap() error { return e.Err }

// Remedy implements the CLI's second line.
func (e *AccountsError) Remedy() string {
	return "build the image with a plain file there, or put an image or an include with one on top of it"
}
