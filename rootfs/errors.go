package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"
)

var (
	// ErrNoStore says that there is no store at the given root: the directory
	// is absent, or it holds no version file.
	ErrNoStore = errors.New("no store")

	// ErrDamaged is wrapped by everything that says a part of the store is not
	// as it was written: a missing layer, a truncated or altered json file.
	// The cure is always to pull or load the image again, which replaces it.
	ErrDamaged = errors.New("damaged")

	// ErrTooLarge says that a file exceeds the limit its reader set.
	ErrTooLarge = errors.New("file too large")

	// ErrBadName says that a name cannot be stored as a reference.
	ErrBadName = errors.New("unusable name")

	// ErrBusy says that a lock was not obtained before the context ended.
	ErrBusy = errors.New("store is busy")

	// errBadID says that a layer id or digest is not 64 lower-case hex digits
	// of sha256; such a string never becomes a path.
	errBadID = errors.New("not a sha256 id")
)

// VersionError says that a store was written by a version of this program
// with another format. Nothing in the store has been read or changed.
type VersionError struct {
	Root  string // the store
	Found string // what its version file says, shortened
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("open store %q: format version %q, this program reads %s and %s", e.Root, e.Found, oldVersion, formatVersion)
}

// Remedy says what the user can do.
func (e *VersionError) Remedy() string {
	return fmt.Sprintf("use the flake-launcher that wrote it, or remove %s and pull the images again", e.Root)
}

// UnsafeRootError says that the store's root could be under somebody else's
// control, so that nothing in it may be trusted.
type UnsafeRootError struct {
	Root   string
	Reason string

	remedy string
}

func (e *UnsafeRootError) Error() string {
	return fmt.Sprintf("open store %q: %s", e.Root, e.Reason)
}

// Remedy says what the user can do.
func (e *UnsafeRootError) Remedy() string { return e.remedy }

// AccessError says that the caller cannot use the store for what he wants: it
// is another's, or the disk it lies on is full or read-only. It matches its
// cause.
type AccessError struct {
	Op   string // open, create or write to
	Root string
	Err  error

	remedy string
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("%s store %q: %v", e.Op, e.Root, e.Err)
}

// Unwrap gives the cause.
func (e *AccessError) Unwrap() error { return e.Err }

// Remedy says what the user can do.
func (e *AccessError) Remedy() string { return e.remedy }

// NoRootError says that nothing tells where the caller's store is.
type NoRootError struct{ Reason, remedy string }

func (e *NoRootError) Error() string { return "find store: " + e.Reason }

// Remedy says what the user can do.
func (e *NoRootError) Remedy() string { return e.remedy }

// NotFoundError says that no stored image answers to Name. It matches
// [fs.ErrNotExist].
type NotFoundError struct {
	Name string
	// Unread are additional stores that the caller may not read and that
	// could have it, see [Set].
	Unread []string
}

func (e *NotFoundError) Error() string {
	if len(e.Unread) > 0 {
		return fmt.Sprintf("image %q is not in the store, and %s cannot be read", e.Name, strings.Join(e.Unread, ", "))
	}
	return fmt.Sprintf("image %q is not in the store", e.Name)
}

// Is makes errors.Is(err, fs.ErrNotExist) true.
func (e *NotFoundError) Is(target error) bool { return target == fs.ErrNotExist }

// Remedy says what the user can do.
func (e *NotFoundError) Remedy() string {
	if len(e.Unread) > 0 {
		return fmt.Sprintf("ask the owner of %s for the right to read it, or pull the image into a store of your own", e.Unread[0])
	}
	return fmt.Sprintf("pull it: flake-ctl pull %s", e.Name)
}

// AmbiguousError says that several stored images answer to Name.
type AmbiguousError struct {
	Name       string
	Candidates []string // sorted; full names, or digests for an id prefix
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("image name %q is ambiguous: %s", e.Name, strings.Join(e.Candidates, ", "))
}

// Remedy says what the user can do.
func (e *AmbiguousError) Remedy() string { return "use one of the names in full" }

// DamagedError says which image is damaged and how. It matches [ErrDamaged],
// and on purpose not its cause: an image that lacks a file is not one that is
// absent, which [fs.ErrNotExist] says.
type DamagedError struct {
	Digest digest.Digest
	Source string // where it came from, when that is still known
	Err    error  // the cause, for people
}

func (e *DamagedError) Error() string { return fmt.Sprintf("image %s is damaged: %v", e.Digest, e.Err) }

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamagedError) Is(target error) bool { return target == ErrDamaged }

// Remedy says what the user can do.
func (e *DamagedError) Remedy() string {
	if e.Source == "" {
		return "pull or load the image again"
	}
	return fmt.Sprintf("fetch it again from %s", e.Source)
}
