package nsexec

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Exit codes of a launcher that could not run its app; the app's own codes pass through unchanged.
const (
	CodeLauncher      = 125 // the launcher or an engine failed
	CodeNotExecutable = 126 // the target is there and can't be executed
	CodeNotFound      = 127 // the target is not there
)

// Causes of an app that did not start, met with errors.Is. Everything else is a failure of the launcher.
var (
	ErrNotFound      = errors.New("not found in the image")
	ErrNotExecutable = errors.New("can't be executed")
)

// ExecError says why the app itself could not be executed inside its container. It matches ErrNotFound or
// ErrNotExecutable, and the errno.
type ExecError struct {
	Target string        // the command as it was asked for
	Errno  syscall.Errno // of the last execve
	Exists bool          // the file is there all the same: its interpreter or loader is missing
}

func (e *ExecError) Error() string {
	switch {
	case e.Errno == syscall.ENOENT && e.Exists:
		return fmt.Sprintf("execute %q: its interpreter or loader is not in the image", e.Target)
	case e.notFound():
		return fmt.Sprintf("execute %q: not found in the image", e.Target)
	case e.Errno == syscall.ENOEXEC:
		return fmt.Sprintf("execute %q: neither a program for this machine nor a script with a #! line", e.Target)
	}
	return fmt.Sprintf("execute %q: %v", e.Target, e.Errno)
}

// Remedy tells the user what to do about it.
func (e *ExecError) Remedy() string {
	switch {
	case e.Errno == syscall.ENOENT && e.Exists:
		return "add the missing interpreter to one of the flake's images, or let the host supply it"
	case e.notFound():
		return "name a command that the image has, or set the flake's target_app_path"
	case e.Errno == syscall.ENOEXEC:
		return "pull the image for this machine's architecture, or run the script through its interpreter"
	case e.Errno == syscall.E2BIG:
		return "pass fewer or shorter arguments"
	}
	return "make the file executable for the user that the app runs as"
}

// Is reports whether target is the class of this error.
func (e *ExecError) Is(target error) bool {
	if e.notFound() {
		return target == ErrNotFound
	}
	return target == ErrNotExecutable
}

// Unwrap gives the errno.
func (e *ExecError) Unwrap() error { return e.Errno }

// A missing interpreter counts as not found, as in a shell.
func (e *ExecError) notFound() bool {
	return e.Errno == syscall.ENOENT || e.Errno == syscall.ENOTDIR
}

// exitCodes maps causes to exit codes; the first match counts.
var exitCodes = []struct {
	cause error
	code  int
}{
	{ErrNotFound, CodeNotFound},
	{ErrNotExecutable, CodeNotExecutable},
}

// ExitCode is the exit code that stands for err: 0 for nil, CodeLauncher for what is no failure of the app.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	for _, e := range exitCodes {
		if errors.Is(err, e.cause) {
			return e.code
		}
	}
	return CodeLauncher
}

// EngineError says that the engine's binary could not be executed.
type EngineError struct {
	Path string
	Err  error
}

func (e *EngineError) Error() string { return fmt.Sprintf("execute engine %q: %v", e.Path, e.Err) }

// Unwrap gives the cause.
func (e *EngineError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *EngineError) Remedy() string {
	if errors.Is(e.Err, fs.ErrNotExist) {
		return "install flake-engine beside flake-launcher or in its libexec directory"
	}
	return "reinstall flake-launcher"
}
