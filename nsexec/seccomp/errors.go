package seccomp

import "errors"

// ErrUnavailable is what Compile reports in a build without cgo, which has no libseccomp.
var ErrUnavailable = errors.New("compile seccomp profile: built without libseccomp (cgo)")
