package launcher

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Libexec is the directory of our own helper programs when they do not lie beside the binary; set at build.
var Libexec = "/usr/local/libexec/flake-launcher"

// MissingProgramError says that an installation is not whole.
type MissingProgramError struct {
	Name   string
	Looked []string
}

func (e *MissingProgramError) Error() string {
	return fmt.Sprintf("find %s: it is neither in %s nor in %s", e.Name, e.Looked[0], e.Looked[len(e.Looked)-1])
}

// Remedy implements the CLI's second line.
func (e *MissingProgramError) Remedy() string {
	return "install flake-launcher again, all of its programs"
}

// Self is the resolved path of the running binary.
func Self() (string, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("find own binary: %w", err)
	}
	return self, nil
}

// Sibling finds another program of ours: beside the resolved binary, then in Libexec; never through PATH, which
// belongs to the caller.
func Sibling(name string) (string, error) {
	dirs, err := directories()
	if err != nil {
		return "", err
	}
	for _, d := range dirs {
		path := filepath.Join(d, name)
		st, err := os.Stat(path)
		if err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
			return "", fmt.Errorf("find %s: %w", name, err)
		}
	}
	return "", &MissingProgramError{Name: name, Looked: dirs}
}

// directories are where our programs lie.
func directories() ([]string, error) {
	self, err := Self()
	if err != nil {
		return nil, err
	}
	return []string{filepath.Dir(self), Libexec}, nil
}

// Programs are the paths at which a program of ours may lie: this one's, and those that Sibling looks at.
func Programs() ([]string, error) {
	self, err := Self()
	if err != nil {
		return nil, err
	}
	dirs, err := directories()
	out := []string{self}
	for _, d := range dirs {
		for _, name := range []string{"flake-launcher", "flake-run", "flake-ctl", "flake-engine"} {
			out = append(out, filepath.Join(d, name))
		}
	}
	return out, err
}
