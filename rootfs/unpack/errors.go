package unpack

import (
	"errors"
	"fmt"
)

var (
	// ErrUnsafe is met by every refusal of an entry that tries to leave the
	// layer's own tree.
	ErrUnsafe = errors.New("unsafe layer entry")
	// ErrNotTar says that the stream is no tar archive.
	ErrNotTar = errors.New("layer is not a tar archive")
	// ErrTruncated says that the stream ended inside an entry.
	ErrTruncated = errors.New("layer is truncated")
	// ErrNoWhiteouts says that there is no way to make them on this file system.
	ErrNoWhiteouts = errors.New("file system takes no whiteouts, as an overlay before Linux 6.7")
	// ErrNoXattrs says that whiteouts cannot be expressed on this file system.
	ErrNoXattrs = errors.New("file system keeps no extended attributes for users")
)

// EntryError is a failure at one entry of a layer. It is met with errors.Is by
// what caused it, ErrUnsafe included.
type EntryError struct {
	Name string // as the tar has it, thus unsafe: print it quoted only
	Err  error
}

func (e *EntryError) Error() string { return fmt.Sprintf("unpack entry %q: %v", e.Name, e.Err) }

// Unwrap gives the cause.
func (e *EntryError) Unwrap() error { return e.Err }

// Remedy says in one line what the user can do.
func (e *EntryError) Remedy() string {
	if errors.Is(e.Err, ErrUnsafe) {
		return "do not use this image; if you build it yourself, let its layers name files relative to the root, without .. or symbolic links that lead out"
	}
	return "fetch the image again; if that does not help, it is damaged at its source"
}

// unsafeEntry is one refusal: the reason is printed, the sentinel is matched.
type unsafeEntry string

func (e unsafeEntry) Error() string        { return string(e) }
func (e unsafeEntry) Is(target error) bool { return target == ErrUnsafe }
