package pull

import (
	"errors"
	"fmt"
)

// What can go wrong, for errors.Is.
var (
	ErrReference    = errors.New("not an image reference")
	ErrShortName    = errors.New("short name is ambiguous or no registry is configured for it")
	ErrUnknown      = errors.New("no such image at the source")
	ErrUnreachable  = errors.New("registry cannot be reached")
	ErrTLS          = errors.New("registry's connection is not trusted")
	ErrStalled      = errors.New("registry stopped answering")
	ErrUnauthorized = errors.New("registry refuses access")
	ErrRateLimit    = errors.New("registry limits the rate of pulls")
	ErrPolicy       = errors.New("image is refused by the signature policy")
	ErrArchitecture = errors.New("image is for another platform")
	ErrDigest       = errors.New("content does not match its digest")
	ErrTruncated    = errors.New("content is truncated")
	ErrUnsafe       = errors.New("image holds an unsafe layer")
	ErrLayer        = errors.New("image holds a layer that can't be unpacked")
	ErrBadImage     = errors.New("not a usable image")
	ErrNotArchive   = errors.New("not an image archive")
	ErrNoFile       = errors.New("no such file")
	ErrNoSpace      = errors.New("no space left in the store")
	ErrSizeLimit    = errors.New("the limit for the size of files is too low")
	ErrReadOnly     = errors.New("store cannot be written to")
	ErrLocal        = errors.New("a file can't be read or written here")
	ErrFileSystem   = errors.New("file system of the store lacks what layers need")
	ErrInterrupted  = errors.New("interrupted")
)

// remedies has one line for each of the above.
var remedies = map[error]string{
	ErrReference:    "write it as registry/name:tag, or with docker://, oci:, oci-archive:, docker-archive: or dir: in front",
	ErrShortName:    "name the registry, as in docker.io/library/NAME, or set unqualified-search-registries in registries.conf",
	ErrUnknown:      "check name and tag; a private image may look like a missing one until you log in",
	ErrUnreachable:  "check the name of the registry and the network; what was fetched completely is kept",
	ErrTLS:          "put the registry's certificate below /etc/containers/certs.d, or mark it insecure in registries.conf if that is what you want",
	ErrStalled:      "try again: what was fetched completely is kept",
	ErrUnauthorized: "log in, so that auth.json has the credentials (skopeo login, podman login or docker login), and check the name",
	ErrRateLimit:    "wait, or log in to the registry",
	ErrPolicy:       "sign the image, or change policy.json if you trust it",
	ErrArchitecture: "ask for an image of this machine's platform",
	ErrDigest:       "try again; if it stays, the image is damaged at its source or something on the way alters it",
	ErrTruncated:    "try again; if it stays, the image is damaged at its source",
	ErrUnsafe:       "do not use this image; if you build it yourself, let its layers name files relative to the root, without .. or links that lead out",
	ErrLayer:        "try again; if it stays, build the image again: its entries don't fit together, or no file system here can hold their names",
	ErrBadImage:     "check that the source is a container image",
	ErrNotArchive:   "give a docker-archive or oci-archive, compressed or not, or a directory with an image layout",
	ErrNoFile:       "check the path",
	ErrNoSpace:      "free some space (flake-ctl gc), or move the store with FLAKES_ROOT, and try again: what was complete is kept",
	ErrSizeLimit:    "raise it (ulimit -f, LimitFSIZE of a service)",
	ErrReadOnly:     "mount its file system for writing, or let FLAKES_ROOT name a place that you can write to",
	ErrLocal:        "check the file that is named: its name, its permissions, the file system it lies on",
	ErrFileSystem:   "let FLAKES_ROOT name a directory on a local file system, such as ext4, xfs or btrfs",
	ErrInterrupted:  "start it again: what was fetched completely is kept",
}

// Error is what Pull and Load return.
type Error struct {
	Op     string // pull or load
	Source string
	Reason error // one of the sentinels, nil if none fits
	Err    error // the details
}

func (e *Error) Error() string {
	switch {
	case e.Reason == nil:
		return fmt.Sprintf("%s %q: %v", e.Op, e.Source, e.Err)
	case e.Err == nil || e.Err == e.Reason:
		return fmt.Sprintf("%s %q: %v", e.Op, e.Source, e.Reason)
	case errors.Is(e.Err, e.Reason):
		return fmt.Sprintf("%s %q: %v", e.Op, e.Source, e.Err)
	}
	return fmt.Sprintf("%s %q: %v: %v", e.Op, e.Source, e.Reason, e.Err)
}

// Unwrap gives both the reason and the details.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Reason != nil {
		errs = append(errs, e.Reason)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// Remedy says in one line what the user can do.
func (e *Error) Remedy() string {
	if r, ok := remedies[e.Reason]; ok {
		return r
	}
	var has interface{ Remedy() string }
	if errors.As(e.Err, &has) {
		return has.Remedy()
	}
	return "see the cause above"
}
