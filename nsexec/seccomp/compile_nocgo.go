//go:build !cgo

package seccomp

// Compile needs libseccomp: this build has none and reports ErrUnavailable.
func Compile([]string) ([]byte, error) { return nil, ErrUnavailable }
