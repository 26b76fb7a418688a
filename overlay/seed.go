package overlay

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// seed makes nodes in the upper. What is there already stays as it is.
func (s *scratch) seed(nodes []Node) error {
	for _, n := range nodes {
		if err := s.seedOne(n); err != nil {
			return fmt.Errorf("seed %q: %w", n.Path, err)
		}
	}
	return nil
}

func (s *scratch) seedOne(n Node) error {
	names, err := splitPath(n.Path)
	if err != nil {
		return err
	}
	at, last := s.upper, len(names)-1
	defer func() {
		if at != s.upper {
			at.Close()
		}
	}()
	for _, name := range names[:last] {
		next, err := openBelow(at, name, unix.O_RDONLY)
		if err != nil {
			return err
		}
		if at != s.upper {
			at.Close()
		}
		at = next
	}
	switch n.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return seedLink(at, names[last], n)
	case unix.S_IFREG:
		return seedFile(at, names[last], n)
	}
	return s.seedDir(at, names, n)
}

// seedDir makes the directory whose names these are; at is the one above it.
func (s *scratch) seedDir(at *os.File, names []string, n Node) error {
	dir, fresh, err := makeDir(at, names[len(names)-1], 0o700)
	if err != nil {
		return err
	}
	defer dir.Close()
	if !fresh {
		return nil
	}
	if n.Opaque {
		err := unix.Fsetxattr(int(dir.Fd()), xattrOpaque, []byte("y"), 0)
		if errors.Is(err, unix.ENOTSUP) && s.work == nil {
			err = s.hide(names)
		}
		if err != nil {
			return fmt.Errorf("hide what layers have there: %w", err)
		}
	}
	return own(dir, n.Mode&0o7777, n.UID, n.GID)
}

// hide does by a whiteout what the attribute does, in a layer below an upper that is a layer itself: a tmpfs has no user
// attributes before Linux 6.6. For an upper that is written to see probeXattr.
func (s *scratch) hide(names []string) (err error) {
	if s.hides == nil {
		if s.hides, _, err = makeDir(s.dir, hidesName, 0o700); err != nil {
			return err
		}
	}
	at := int(s.hides.Fd())
	for n := 1; n < len(names); n++ {
		if err := unix.Mkdirat(at, strings.Join(names[:n], "/"), 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return unix.Mknodat(at, strings.Join(names, "/"), unix.S_IFCHR, 0)
}

func seedFile(at *os.File, name string, n Node) (err error) {
	fd := -1
	err = retry(func() (err error) {
		fd, err = unix.Openat(int(at.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "openat", Path: n.Path, Err: err}
	}
	f := os.NewFile(uintptr(fd), n.Path)
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(n.Content); err != nil {
		return err
	}
	return own(f, n.Mode&0o7777, n.UID, n.GID)
}

func seedLink(at *os.File, name string, n Node) error {
	err := unix.Symlinkat(n.Text, int(at.Fd()), name)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err == nil && os.Geteuid() == 0 {
		err = unix.Fchownat(int(at.Fd()), name, n.UID, n.GID, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return &os.PathError{Op: "symlinkat", Path: n.Path, Err: err}
	}
	return nil
}

// splitPath refuses what could lead out of the upper; symlinks are refused when it is walked.
func splitPath(p string) ([]string, error) {
	names := strings.Split(strings.Trim(p, "/"), "/")
	for _, n := range names {
		if n == "" || n == "." || n == ".." || strings.Contains(n, "\x00") {
			return nil, errors.New("not a clean path below the root")
		}
	}
	return names, nil
}
