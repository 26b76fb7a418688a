package include

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/flake-launcher/flake-launcher/rootfs/unpack"
)

var (
	// errChanged says that a source did not hold still.
	errChanged = errors.New("it changes while it is read")
	// errKind says that a source is not what a layer can be made of.
	errKind = errors.New("not a regular file")
)

// refusal is a reason with a remedy of its own.
type refusal struct{ cause, fix string }

func (r *refusal) Error() string  { return r.cause }
func (r *refusal) Remedy() string { return r.fix }

// Error says why no layer can be made of a source.
type Error struct {
	Source Source
	Err    error
}

func (e *Error) Error() string {
	err := e.Err
	var at *fs.PathError
	switch {
	case errors.As(err, &at) && at.Path == e.Source.Path:
		err = at.Err // its name is said already
	case errors.Is(err, unpack.ErrNotTar):
		err = errors.New("not a tar archive, compressed or not")
	case errors.Is(err, unpack.ErrTruncated):
		err = errors.New("the archive is truncated")
	}
	return fmt.Sprintf("include %s %s: %v", e.Source.Kind, e.Source.Path, err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Remedy says in one line what the user can do.
func (e *Error) Remedy() string {
	var own *refusal
	switch {
	case errors.As(e.Err, &own):
		return own.fix
	case errors.Is(e.Err, fs.ErrNotExist), errors.Is(e.Err, syscall.ENOTDIR):
		return fmt.Sprintf("correct the path, or leave it out (--include-%s, include.%s)", e.Source.Kind, e.Source.Kind)
	case errors.Is(e.Err, fs.ErrPermission):
		return "ask its owner for the right to read it, or leave it out"
	case errors.Is(e.Err, unpack.ErrUnsafe):
		return "do not use this archive; if you make it yourself, let it name files relative to the root, without .. or links that lead out"
	case errors.Is(e.Err, unpack.ErrNotTar), errors.Is(e.Err, errKind):
		return "name a tar archive (plain, gzip, zstd, xz or bzip2) with tar, and any other file or directory with path"
	case errors.Is(e.Err, syscall.ENOSPC), errors.Is(e.Err, syscall.EDQUOT):
		return "free some space where the store lies (flake-ctl gc), and try again"
	case errors.Is(e.Err, errChanged):
		return "try again when nobody writes to it"
	case errors.Is(e.Err, unpack.ErrNoXattrs):
		return "let FLAKES_ROOT name a directory on a local file system, such as ext4, xfs or btrfs"
	}
	return "make the archive again, or look at the file that is named"
}

// sourceError keeps the name of a source with whatever went wrong with it.
func sourceError(s Source, err error) error {
	var done *Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	return &Error{Source: s, Err: err}
}

// pathError is the error of one entry below a source.
func pathError(op, path string, err error) error {
	return &os.PathError{Op: op, Path: path, Err: err}
}
