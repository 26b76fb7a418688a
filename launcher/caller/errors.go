package caller

import "fmt"

// ShareError says that something that the app is to see of the caller can't be shown.
type ShareError struct{ What, Reason, Fix string }

func (e *ShareError) Error() string { return fmt.Sprintf("share %s: %s", e.What, e.Reason) }

// Remedy implements the CLI's second line.
func (e *ShareError) Remedy() string { return e.Fix }

// CwdError says that the app can't start in the directory that the caller is in.
type CwdError struct {
	Dir string
	Err error
}

func (e *CwdError) Error() string {
	if e.Dir == "" {
		return fmt.Sprintf("find the current directory: %v", e.Err)
	}
	return fmt.Sprintf("start in %q: %v", e.Dir, e.Err)
}

// Unwrap gives the cause.
func (e *CwdError) Unwrap() error { return e.Err }

// Remedy implements the CLI's second line.
func (e *CwdError) Remedy() string {
	return "change to another directory, or name one with workdir: (--workdir)"
}
