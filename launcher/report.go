package launcher

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// Exit codes of a start that did not get as far as the app; they are podman's and env(1)'s.
const (
	ExitFailure  = 125 // the launcher itself
	ExitNotExec  = 126 // the command can't be executed
	ExitNotFound = 127 // the command does not exist

)

// coder is an error that knows the exit code of a start that fails with it.
type coder interface{ ExitCode() int }

// Code is the exit status of a start that ended with err.
func Code(err error) int {
	var c coder
	switch {
	case err == nil:
		return 0
	case errors.As(err, &c):
		return c.ExitCode()
	}
	return ExitFailure
}

// ChildError is the end of a program of ours that has reported its failure itself.
type ChildError struct {
	Program string
	Status  int
}

func (e *ChildError) Error() string {
	return fmt.Sprintf("%s ended with status %d", e.Program, e.Status)
}

// ExitCode passes on the codes that speak of the command; any other failure is the launcher's.
func (e *ChildError) ExitCode() int {
	if e.Status == ExitNotExec || e.Status == ExitNotFound {
		return e.Status
	}
	return ExitFailure
}

// Report prints one line of cause and, if there is one, one line of remedy. A ChildError prints nothing:
// the child has done so.
func Report(w io.Writer, program string, err error) {
	var child *ChildError
	if err == nil || errors.As(err, &child) {
		return
	}
	fmt.Fprintf(w, "%s: %s\n", program, oneLine(err.Error()))
	if r := remedy(err); r != "" {
		fmt.Fprintf(w, "%s: remedy: %s\n", program, oneLine(r))
	}
}

// remedy is the error's own, or what always helps against its cause.
func remedy(err error) string {
	var r interface{ Remedy() string }
	if errors.As(err, &r) && r.Remedy() != "" {
		return r.Remedy()
	}
	for _, known := range []struct {
		cause  error
		remedy string
	}{
		{unix.ENOSPC, "free some space there (flake-ctl gc)"},
		{unix.EDQUOT, "your quota there is used up: free some space (flake-ctl gc)"},
		{unix.EMFILE, "raise the limit for open files (ulimit -n)"},
		{unix.EFBIG, "raise the limit for the size of files (ulimit -f, LimitFSIZE of a service)"},
		{unix.EROFS, "its file system is read-only: mount it for writing"},
		{fs.ErrPermission, "have its owner give you the right to it, or do it as a user who has that"},
	} {
		if errors.Is(err, known.cause) {
			return known.remedy
		}
	}
	return ""
}

// oneLine keeps a message on one line of printable text, whatever a path or a server put into it.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
}

// LaterError refuses an option whose feature this version does not have.
type LaterError struct{ Option string }

func (e *LaterError) Error() string { return e.Option + " is not supported by this version" }

// Remedy implements the CLI's second line.
func (e *LaterError) Remedy() string { return "leave it out, or use a newer flake-launcher" }
